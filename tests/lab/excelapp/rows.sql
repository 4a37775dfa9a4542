-- Planted rows; %(now)s is the moment the lab is made for, %(midnight)s the last midnight in Seoul, both as UTC without a
-- zone. The same moments give the same rows.

INSERT INTO users (id, email, credits) SELECT n, 'user' || n || '@example.com', 100 FROM generate_series(1, 20) AS n;

-- Yesterday 46 of 50 analyses were completed, 99 of 100 payments and 990 of 1000 formulas succeeded.
INSERT INTO excel_files (user_id, filename, status, file_size, created_at)
SELECT 1 + mod(n, 20), kind || n || '.xlsx', status, 1000 * n, at + n * interval '1 minute'
FROM (VALUES
    ('yesterday', 'analyzed', %(midnight)s - interval '1 day', 46),
    ('failed', 'failed', %(midnight)s - interval '20 hours', 4),
    ('running', 'processing', %(midnight)s - interval '10 hours', 3),
    ('history', 'analyzed', %(midnight)s - interval '100 days', 3000)
) AS planted (kind, status, at, count),
    LATERAL generate_series(1, count) AS n;
INSERT INTO payments (user_id, amount, status, created_at)
SELECT 1 + mod(n, 20), 9900, CASE n WHEN 1 THEN 'failed' ELSE 'paid' END, %(midnight)s - n * interval '10 minutes'
FROM generate_series(1, 100) AS n;
INSERT INTO formula_requests (status, duration_ms, created_at)
SELECT CASE WHEN n <= 10 THEN 'timeout' ELSE 'succeeded' END, 40, %(midnight)s - n * interval '1 minute'
FROM generate_series(1, 1000) AS n;

-- Usage of 13 months goes, that of 11 stays; one record on each side of the cutoff of a year.
INSERT INTO ai_usage_records (user_id, model, tokens, cost, created_at)
SELECT 1 + mod(n, 20), 'model', 1000 + n, 0.01 * n, %(now)s - age - n * interval '1 minute'
FROM (VALUES (interval '13 months', 500), (interval '11 months', 300), (interval '1 day', 40)) AS planted (age, count),
    LATERAL generate_series(1, count) AS n;
INSERT INTO ai_usage_records (user_id, model, tokens, cost, created_at) VALUES
    (1, 'due', 1, 1, %(now)s - interval '1 year' - interval '1 hour'),
    (1, 'not due', 1, 1, %(now)s - interval '1 year' + interval '1 hour');

-- Conversations of 7 months and of 5, each with ten messages. Messages go, conversations stay.
INSERT INTO chat_conversations (id, user_id, title, created_at)
SELECT n, 1 + mod(n, 20), 'conversation ' || n,
       %(now)s - CASE WHEN n <= 25 THEN interval '7 months' ELSE interval '5 months' END
FROM generate_series(1, 60) AS n;
INSERT INTO chat_messages (chat_conversation_id, role, content, created_at)
SELECT id, CASE mod(n, 2) WHEN 0 THEN 'assistant' ELSE 'user' END, 'message ' || n, created_at + n * interval '1 minute'
FROM chat_conversations, generate_series(1, 10) AS n
ORDER BY id, n;

INSERT INTO schema_migrations VALUES ('20250719000000');
