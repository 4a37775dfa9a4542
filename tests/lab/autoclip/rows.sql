-- Planted rows; %(now)s is the moment the lab is made for, %(midnight)s the last midnight in Seoul. The same moments give
-- the same rows.

INSERT INTO users (id, email) SELECT n, 'user' || n || '@example.com' FROM generate_series(1, 20) AS n;

-- Yesterday 94 of 100 succeeded, 20 failed the day before, and what still runs is neither. Years of history stay.
INSERT INTO contents
SELECT md5(kind || n)::uuid, 1 + mod(n, 20), 'clip ' || n, status, provider, error,
       at + n * interval '1 minute', CASE WHEN status IN ('SUCCESS', 'FAILED') THEN at + (n + 3) * interval '1 minute' END
FROM (VALUES
    ('yesterday', 'SUCCESS', 'gemini', NULL, %(midnight)s - interval '1 day', 94),
    ('failed', 'FAILED', 'elevenlabs', '429', %(midnight)s - interval '20 hours', 6),
    ('failed-before', 'FAILED', 'gemini', '500', %(midnight)s - interval '2 days', 20),
    ('running', 'GENERATING', 'gemini', NULL, %(midnight)s - interval '10 hours', 5),
    ('history', 'SUCCESS', 'gemini', NULL, %(midnight)s - interval '3 years', 200)
) AS planted (kind, status, provider, error, at, count),
    LATERAL generate_series(1, count) AS n;
INSERT INTO generation_jobs (content_id, step, status, started_at, finished_at)
SELECT id, step, status, created_at, finished_at
FROM contents, (VALUES ('script'), ('image'), ('audio'), ('render')) AS steps (step)
ORDER BY id, step;

INSERT INTO payments (user_id, amount, status, created_at)
SELECT 1 + mod(n, 20), 9900, 'paid', %(now)s - n * interval '1 day' FROM generate_series(1, 400) AS n;
INSERT INTO workflow_runs (workflow, status, started_at)
SELECT 'content-generation', 'success', %(now)s - n * interval '1 hour' FROM generate_series(1, 100) AS n;
