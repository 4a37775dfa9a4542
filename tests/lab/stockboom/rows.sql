-- Planted rows; %(now)s is the moment the lab is made for, as UTC without a zone. The same moment gives the same rows.

INSERT INTO users
SELECT 'user' || n, 'user' || n || '@example.com', %(now)s - interval '2 years' FROM generate_series(1, 20) AS n;

INSERT INTO stocks VALUES
    ('stock1', '005930', 'Samsung Electronics', 'KOSPI'),
    ('stock2', '000660', 'SK hynix', 'KOSPI'),
    ('stock3', '035720', 'Kakao', 'KOSDAQ');

-- Candles: one-minute ones of 13 months and of 11, those around the cutoff of a year, and what stays for ever.
INSERT INTO candles
SELECT 'candle-' || kind || '-' || stock || '-' || n, 'stock' || stock, timeframe, at - n * step, 100, 110, 90, 105, n
FROM (VALUES
    ('old', '1m', %(now)s - interval '13 months', interval '1 minute', 390),
    ('kept', '1m', %(now)s - interval '11 months', interval '1 minute', 390),
    ('today', '1m', %(now)s, interval '1 minute', 60),
    ('old5', '5m', %(now)s - interval '13 months', interval '5 minutes', 78),
    ('ancient', '1d', %(now)s - interval '3 years', interval '1 day', 100)
) AS planted (kind, timeframe, at, step, count),
    generate_series(1, 2) AS stock,
    LATERAL generate_series(1, count) AS n;
INSERT INTO candles VALUES
    ('candle-due', 'stock3', '1m', %(now)s - interval '1 year' - interval '1 hour', 100, 110, 90, 105, 1),
    ('candle-not-due', 'stock3', '1m', %(now)s - interval '1 year' + interval '1 hour', 100, 110, 90, 105, 1);

INSERT INTO indicators
SELECT 'indicator' || n, 'stock1', '1d', %(now)s - n * interval '1 day', 'RSI', mod(n, 100)
FROM generate_series(1, 200) AS n;

INSERT INTO broker_accounts
SELECT 'account' || n, 'user' || n, 'KIS', '5012-' || n, 'kis/app-key-' || n, %(now)s + interval '6 hours', true
FROM generate_series(1, 20) AS n;

-- Orders, each with two events. Cancelled ones of 7 months go, those of 5 stay, and so does whatever was not cancelled.
INSERT INTO trades
SELECT 'trade-' || kind || '-' || n, 'user' || 1 + mod(n, 20), 'account' || 1 + mod(n, 20), 'stock' || 1 + mod(n, 3),
       CASE mod(n, 2) WHEN 0 THEN 'BUY' ELSE 'SELL' END, 'LIMIT', 10, 70000, status, reason,
       %(now)s - age - n * interval '1 minute', CASE status WHEN 'FILLED' THEN %(now)s - age END
FROM (VALUES
    ('cancelled-old', 'CANCELLED', NULL, interval '7 months', 60),
    ('cancelled', 'CANCELLED', NULL, interval '5 months', 40),
    ('filled-old', 'FILLED', NULL, interval '7 months', 200),
    ('filled', 'FILLED', NULL, interval '1 minute', 80),
    ('token', 'FAILED', 'KIS token expired', interval '2 minutes', 12),
    ('balance', 'REJECTED', 'insufficient balance', interval '3 minutes', 3),
    ('pending', 'PENDING', NULL, interval '0', 2)
) AS planted (kind, status, reason, age, count),
    LATERAL generate_series(1, count) AS n;
INSERT INTO trade_events (trade_id, event, created_at)
SELECT id, event, created_at FROM trades, (VALUES ('SUBMITTED'), ('ANSWERED')) AS steps (event) ORDER BY id, event;

-- Read ones of 4 months go; unread ones stay, however old.
INSERT INTO notifications
SELECT 'notification-' || kind || '-' || n, 'user' || 1 + mod(n, 20), 'TRADE', 'Order', 'Your order', is_read,
       %(now)s - age - n * interval '1 minute'
FROM (VALUES
    ('read-old', true, interval '4 months', 120),
    ('read', true, interval '2 months', 80),
    ('unread-old', false, interval '4 months', 40),
    ('unread', false, interval '2 months', 30)
) AS planted (kind, is_read, age, count),
    LATERAL generate_series(1, count) AS n;

INSERT INTO _prisma_migrations VALUES ('1', '20250101000000_init', %(now)s - interval '2 years');
