-- Planted rows; %(now)s is the moment the lab is made for, %(midnight)s the last midnight in Seoul. The same moments give
-- the same rows.

INSERT INTO auth.users
SELECT md5('user' || n)::uuid, 'user' || n || '@example.com', %(now)s - n * interval '1 hour'
FROM generate_series(1, 12) AS n;

-- Who logged in: more than three years ago, between one year and three, and lately; and somebody whose rights changed.
INSERT INTO auth.audit_log_entries
SELECT NULL, md5(kind || n)::uuid, json_build_object('action', action, 'actor_username', 'user' || 1 + mod(n, 12)),
       %(now)s - age - n * interval '1 minute', address
FROM (VALUES
    ('old', 'login', interval '37 months', '211.1.1.1', 90),
    ('audit', 'login', interval '20 months', '211.1.1.1', 60),
    ('today', 'login', interval '1 hour', '211.1.1.1', 25),
    ('failed', 'login_failed', interval '2 hours', '203.0.113.9', 30),
    ('rights', 'user_modified', interval '3 hours', '211.1.1.1', 1)
) AS planted (kind, action, age, address, count),
    LATERAL generate_series(1, count) AS n;

INSERT INTO public.companies (id, name, country)
SELECT n, 'company ' || n, CASE mod(n, 3) WHEN 0 THEN 'CN' ELSE 'KR' END FROM generate_series(1, 30) AS n;
INSERT INTO public.service_types (code, name) VALUES ('inspection', 'Inspection'), ('audit', 'Factory audit');
INSERT INTO public.profiles
SELECT md5('user' || n)::uuid, (ARRAY['admin', 'korean_team', 'chinese_staff', 'customer'])[1 + mod(n, 4)]
FROM generate_series(1, 12) AS n;

-- Eight came in yesterday; three wait to be looked at, the oldest for two days.
INSERT INTO public.inspection_applications (company_id, applicant_id, service_type, status, created_at)
SELECT 1 + mod(n, 30), md5('user' || 1 + mod(n, 12))::uuid, 'inspection', status, at + n * interval '1 minute'
FROM (VALUES
    ('completed', %(midnight)s - interval '300 days', 150),
    ('in_review', %(midnight)s - interval '1 day', 6),
    ('submitted', %(midnight)s - interval '20 hours', 2),
    ('submitted', %(midnight)s - interval '2 days', 1)
) AS planted (status, at, count),
    LATERAL generate_series(1, count) AS n;
INSERT INTO public.chat_messages (application_id, sender_id, body, created_at)
SELECT id, applicant_id, '안녕하세요', created_at FROM public.inspection_applications ORDER BY id;
INSERT INTO public.documents (application_id, storage_path)
SELECT id, 'applications/' || id || '.pdf' FROM public.inspection_applications ORDER BY id;
INSERT INTO storage.objects
SELECT md5('object' || n)::uuid, 'documents', 'applications/' || n || '.pdf', '{}' FROM generate_series(1, 50) AS n;
