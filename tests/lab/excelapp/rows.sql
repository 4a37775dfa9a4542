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

-- Solid Queue. The application puts excelapp_production_ before the name of every queue, and its workers' list does not
-- have it: they are alive, look at queues that nobody uses, and no job has run since the deployment.
INSERT INTO solid_queue_jobs
    (queue_name, class_name, arguments, priority, active_job_id, scheduled_at, finished_at, concurrency_key,
     created_at, updated_at)
SELECT 'excelapp_production_' || queue, class, '{"arguments":[' || n || ']}', priority, kind || '-' || n,
       CASE kind WHEN 'later' THEN %(now)s + n * interval '10 minutes' END,
       CASE kind WHEN 'done' THEN %(now)s - age END,
       CASE kind WHEN 'held' THEN 'ExcelAnalysisJob/user' || n END,
       %(now)s - age - n * interval '1 minute', %(now)s - age
FROM (VALUES
    ('wait', 'default', 'ExcelAnalysisJob', 0, interval '2 hours', 40),
    ('mail', 'mailers', 'ActionMailer::MailDeliveryJob', 5, interval '90 minutes', 12),
    ('later', 'default', 'CreditExpiryJob', 0, interval '3 hours', 6),
    ('held', 'default', 'ExcelAnalysisJob', 0, interval '2 hours', 2),
    ('timeout', 'default', 'ExcelAnalysisJob', 0, interval '4 hours', 14),
    ('limit', 'default', 'AiChatJob', 0, interval '5 hours', 9),
    ('done', 'default', 'ExcelAnalysisJob', 0, interval '6 hours', 200)
) AS planted (kind, queue, class, priority, age, count),
    LATERAL generate_series(1, count) AS n;
INSERT INTO solid_queue_ready_executions (job_id, queue_name, priority, created_at)
SELECT id, queue_name, priority, created_at FROM solid_queue_jobs WHERE active_job_id ~ '^(wait|mail)-' ORDER BY id;
INSERT INTO solid_queue_scheduled_executions (job_id, queue_name, priority, scheduled_at, created_at)
SELECT id, queue_name, priority, scheduled_at, created_at FROM solid_queue_jobs
WHERE active_job_id LIKE 'later-%%' ORDER BY id;
INSERT INTO solid_queue_blocked_executions (job_id, queue_name, priority, concurrency_key, expires_at, created_at)
SELECT id, queue_name, priority, concurrency_key, %(now)s + interval '1 hour', created_at FROM solid_queue_jobs
WHERE active_job_id LIKE 'held-%%' ORDER BY id;
INSERT INTO solid_queue_semaphores (key, value, expires_at, created_at, updated_at)
SELECT concurrency_key, 0, %(now)s + interval '1 hour', created_at, created_at FROM solid_queue_jobs
WHERE active_job_id LIKE 'held-%%' ORDER BY id;
INSERT INTO solid_queue_failed_executions (job_id, error, created_at)
SELECT id,
       CASE split_part(active_job_id, '-', 1)
       WHEN 'timeout' THEN json_build_object('exception_class', 'Net::ReadTimeout', 'message',
           'Net::ReadTimeout with #<TCPSocket:(closed)> (FormulaEngine, file ' || id || ')', 'backtrace', '[]'::json)
       ELSE json_build_object('exception_class', 'Faraday::TooManyRequestsError', 'message',
           'the server responded with status 429', 'backtrace', '[]'::json)
       END,
       updated_at
FROM solid_queue_jobs WHERE active_job_id ~ '^(timeout|limit)-' ORDER BY id;
INSERT INTO solid_queue_processes (kind, last_heartbeat_at, supervisor_id, pid, hostname, metadata, created_at, name)
VALUES
    ('Supervisor(fork)', %(now)s - interval '20 seconds', NULL, 4001, 'excelapp', '{}',
     %(now)s - interval '2 hours', 'supervisor-1'),
    ('Dispatcher', %(now)s - interval '20 seconds', 1, 4002, 'excelapp',
     '{"polling_interval":1,"batch_size":500,"concurrency_maintenance_interval":600}',
     %(now)s - interval '2 hours', 'dispatcher-1'),
    ('Worker', %(now)s - interval '20 seconds', 1, 4003, 'excelapp',
     '{"polling_interval":0.1,"queues":"default,mailers","thread_pool_size":3}',
     %(now)s - interval '2 hours', 'worker-1');
INSERT INTO solid_queue_recurring_tasks (key, schedule, class_name, queue_name, created_at, updated_at)
VALUES ('expire_credits', 'every day at 4am', 'CreditExpiryJob', 'excelapp_production_default',
        %(now)s - interval '2 hours', %(now)s - interval '2 hours');
