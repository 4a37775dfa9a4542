-- A database with one of everything that a backup must bring back. Plain SQL for PostgreSQL 14 and later.
-- Roles belong to the server, and other databases may have them already.
DO $$ BEGIN CREATE ROLE census_app LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE "Census Reader"; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
CREATE SCHEMA billing AUTHORIZATION census_app;
CREATE SCHEMA "Mixed Schema";
GRANT USAGE ON SCHEMA billing TO "Census Reader";

CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy');
CREATE TYPE address AS (street text, number int, "Zip Code" char(8));
CREATE DOMAIN positive AS int DEFAULT 1 CHECK (VALUE > 0);
CREATE DOMAIN email AS varchar(120) COLLATE "C" NOT NULL CHECK (VALUE ~ '@' AND VALUE NOT IN ('a@b', 'c@d'));
CREATE TYPE price_range AS RANGE (subtype = numeric);
CREATE COLLATION billing.posix FROM "C";

CREATE TABLE "Mixed Schema"."Mixed ""Case"" Table" ("Id" bigserial PRIMARY KEY, "select" text, "Größe" numeric);
INSERT INTO "Mixed Schema"."Mixed ""Case"" Table" ("select", "Größe") VALUES ('a', 1.10), (NULL, 'NaN'), ('', 0);

CREATE TABLE every_type (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    f4 real, f8 double precision, n numeric, n2 numeric(10, 2), m money, b bytea, t text, v varchar(20), c char(5),
    "char" "char", nm name, bo boolean, d date, tm time, tmz timetz, ts timestamp, tsz timestamptz, iv interval,
    u uuid, j json, jb jsonb, x xml, a int[], ta text[], ra int4range, pr price_range, mr int4multirange,
    ad address, ads address[], mo mood, mos mood[], po positive, em email, ine inet, ci cidr, ma macaddr,
    bi bit(5), vb bit varying, tv tsvector, tq tsquery, p point, bx box, pth path, ln pg_lsn, rc regclass, rt regtype,
    jp jsonpath, oi oid
);
INSERT INTO every_type (f4, f8, n, n2, m, b, t, v, c, "char", nm, bo, d, tm, tmz, ts, tsz, iv, u, j, jb, x, a, ta, ra,
    pr, mr, ad, ads, mo, mos, po, em, ine, ci, ma, bi, vb, tv, tq, p, bx, pth, ln, rc, rt, jp, oi) VALUES
 (1.1, 0.1, 1e-130, 12.34, 12.5, '\x00ff', E'tab\there', 'v', 'c', 'Z', 'name', true, '2026-01-31',
  '12:34:56.789', '12:34:56+09', '2026-01-31 01:02:03.000001', '2026-01-31 01:02:03.000001+09', '1 mon 2 days 03:04:05.6',
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a":  1, "a": 2}', '{"b": 1, "a": [1, 2.50]}',
  '<?xml version="1.0" encoding="UTF-8"?><a>b</a>', '{1,NULL,3}', '{"","NULL",NULL,"a b","c\"d"}', '[1,5)', '(1.5,)',
  '{[1,3),[7,9)}', '("Long Street",7,1234)', '{"(a,1,)","(\"b c\",,x)"}', 'it''s ok', '{sad,happy}', 7, 'x@y',
  '10.0.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '10101', '1', 'a fat cat', 'fat & rat', '(1,2)', '((0,0),(1,1))',
  '((0,0),(1,1),(2,0))', '16/B374D848', 'pg_class', 'int4', '$.a[*] ? (@ > 1)', 4294967295),
 ('Infinity', '-Infinity', 'NaN', 0, -0.01, '', '', '', '', '', '', false, 'infinity', '24:00', '00:00+14', '-infinity',
  'infinity', '-1 years 1 sec', NULL, 'null', 'null', '<a/>', '{}', '{}', 'empty', 'empty', '{}', '(,,)', '{}', 'sad',
  '{}', 1, 'q@', '::1', '::/0', NULL, '00000', '', '', '', '(NaN,Infinity)', NULL, NULL, '0/0', NULL, NULL, NULL, 0),
 ('-0', 4.9e-324, 99999999999999999999999999999999999999.9, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  '4713-01-01 BC', NULL, NULL, '294276-12-31 23:59:59.999999', '4713-01-02 BC', '178000000 years', NULL, NULL, NULL,
  NULL, '{{1,2},{3,4}}', '[0:1]={a,b}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'n@', NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (3.4028235e38, 1.7976931348623157e308, 0.000, 1.00, NULL, repeat('xy', 5000)::bytea, repeat('가나다', 4000), '나',
  'ab ', NULL, NULL, NULL, '0001-01-01', NULL, NULL, '0044-03-15 BC', '1883-11-18 12:03:58-07:52:58', '0', NULL, NULL,
  '{"key": "\u0041 \"q\""}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'n@', NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE empty_table (id int PRIMARY KEY);
CREATE TABLE dropped_column (a int, gone text, b text, c int DEFAULT 5);
INSERT INTO dropped_column (a, gone, b) SELECT g, 'gone', 'b' || g FROM generate_series(1, 50) g;
ALTER TABLE dropped_column DROP COLUMN gone;
ALTER TABLE dropped_column ADD COLUMN added int DEFAULT 42 NOT NULL;

CREATE TABLE customers (
    id bigserial PRIMARY KEY, email varchar(200) NOT NULL UNIQUE, status varchar(20) NOT NULL DEFAULT 'new',
    full_name text GENERATED ALWAYS AS (upper(email) || ' ' || status) STORED, tags text[] DEFAULT '{a,b}',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT status_known CHECK (status IN ('new', 'paid', 'gone') AND (length(email) > 3 OR email LIKE 'x%'))
);
ALTER TABLE customers OWNER TO census_app;
GRANT SELECT, UPDATE (status) ON customers TO "Census Reader";
INSERT INTO customers (email, status, created_at)
    SELECT 'user' || g || '@example.com', (ARRAY['new', 'paid', 'gone'])[g % 3 + 1], timestamptz '2026-01-01' + g * interval '7 min'
    FROM generate_series(1, 3000) g;
CREATE TABLE orders (
    id bigint GENERATED BY DEFAULT AS IDENTITY (INCREMENT 5) PRIMARY KEY, customer_id bigint NOT NULL,
    amount numeric(12, 2) NOT NULL, created_at timestamp NOT NULL, note text,
    CONSTRAINT orders_customer_fk FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE DEFERRABLE
);
INSERT INTO orders (customer_id, amount, created_at)
    SELECT g % 3000 + 1, g * 1.37, timestamp '2026-02-01' + g * interval '1 min' FROM generate_series(1, 9000) g;
CREATE INDEX orders_created ON orders (created_at DESC NULLS LAST) INCLUDE (amount) WITH (fillfactor = 80);
CREATE INDEX orders_expression ON orders ((amount * 2), lower(note)) WHERE note IS NOT NULL AND note IN ('a', 'b');
CREATE UNIQUE INDEX orders_unique ON orders (id, customer_id);
CREATE STATISTICS orders_statistics ON customer_id, amount FROM orders;

CREATE SEQUENCE countdown INCREMENT -1 MINVALUE -100 MAXVALUE 100 START 100;
CREATE TABLE descending (id int DEFAULT nextval('countdown') PRIMARY KEY, other int);
INSERT INTO descending (other) SELECT g FROM generate_series(1, 20) g;
CREATE SEQUENCE never_called;
CREATE SEQUENCE billing.wheel MAXVALUE 10 CYCLE;
SELECT nextval('billing.wheel');
CREATE SEQUENCE reset_back;
SELECT setval('reset_back', 77, false);

CREATE TABLE measured (at timestamptz NOT NULL, device int NOT NULL, value float8, id serial) PARTITION BY RANGE (at);
CREATE TABLE measured_2026_01 PARTITION OF measured FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE measured_2026_02 PARTITION OF measured FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY HASH (device);
CREATE TABLE measured_2026_02_a PARTITION OF measured_2026_02 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE measured_2026_02_b (id int NOT NULL, value float8, device int NOT NULL, at timestamptz NOT NULL);
ALTER TABLE measured_2026_02 ATTACH PARTITION measured_2026_02_b FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE measured_rest PARTITION OF measured DEFAULT;
ALTER TABLE measured ADD PRIMARY KEY (at, device);
CREATE INDEX measured_value ON measured (value);
INSERT INTO measured (at, device, value)
    SELECT timestamptz '2026-01-01' + g * interval '37 min', g, g / 7.0 FROM generate_series(1, 2000) g;
CREATE TABLE by_mood (id int, m mood NOT NULL) PARTITION BY HASH (m);
CREATE TABLE by_mood_0 PARTITION OF by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE by_mood_1 PARTITION OF by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO by_mood SELECT g, (ARRAY['sad', 'it''s ok', 'happy']::mood[])[g % 3 + 1] FROM generate_series(1, 300) g;
CREATE TABLE regions (code char(2), name text) PARTITION BY LIST (code);
CREATE TABLE regions_kr PARTITION OF regions FOR VALUES IN ('KR');
CREATE TABLE regions_other PARTITION OF regions FOR VALUES IN ('JP', 'DE', NULL);
INSERT INTO regions VALUES ('KR', 'Korea'), ('JP', 'Japan'), (NULL, 'nowhere');
CREATE TABLE refers_to_partitioned (at timestamptz, device int, FOREIGN KEY (at, device) REFERENCES measured);

CREATE TABLE parent (id int PRIMARY KEY, name text);
CREATE TABLE child (extra int) INHERITS (parent);
ALTER TABLE parent ADD COLUMN late int DEFAULT 3;
INSERT INTO parent VALUES (1, 'p'); INSERT INTO child VALUES (2, 'c', 7);
CREATE UNLOGGED TABLE scratch_pad (id int, t text);
INSERT INTO scratch_pad VALUES (1, 'unlogged');
CREATE TEMPORARY TABLE nobody_sees_this (id int);

CREATE VIEW paid AS SELECT c.id, c.email, count(o.id) AS orders, sum(o.amount) AS total
    FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE c.status IN ('paid', 'new') GROUP BY c.id;
CREATE VIEW single AS SELECT id, email, status::text || '!' AS loud FROM customers WHERE status = 'paid' WITH CHECK OPTION;
CREATE VIEW guarded WITH (security_barrier) AS SELECT id FROM single;
CREATE RECURSIVE VIEW numbers (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 10;
CREATE MATERIALIZED VIEW totals AS SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id;
CREATE UNIQUE INDEX totals_customer ON totals (customer_id);
CREATE MATERIALIZED VIEW never_filled AS SELECT 1 AS one WITH NO DATA;

CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := coalesce(NEW.note, ''); RETURN NEW; END $$;
CREATE FUNCTION atomic(a int, b int DEFAULT 2 + 3) RETURNS int LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT a + b; END;
CREATE FUNCTION billing.secured(email) RETURNS SETOF customers LANGUAGE sql STABLE STRICT SECURITY DEFINER
    SET search_path = pg_catalog AS 'SELECT * FROM public.customers WHERE email = $1';
REVOKE ALL ON FUNCTION billing.secured(email) FROM public;
GRANT EXECUTE ON FUNCTION billing.secured(email) TO "Census Reader";
CREATE PROCEDURE housekeeping(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN n := n + 1; END $$;
CREATE AGGREGATE product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
CREATE TRIGGER orders_touch BEFORE INSERT OR UPDATE OF note ON orders FOR EACH ROW WHEN (NEW.note IS DISTINCT FROM 'x') EXECUTE FUNCTION touch();
CREATE TRIGGER orders_off BEFORE DELETE ON orders FOR EACH STATEMENT EXECUTE FUNCTION touch();
ALTER TABLE orders DISABLE TRIGGER orders_off;
CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER measured_mark AFTER INSERT ON measured FOR EACH ROW EXECUTE FUNCTION mark();
CREATE RULE protect AS ON DELETE TO descending WHERE OLD.id > 99 DO INSTEAD NOTHING;
CREATE FUNCTION noticed() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE EVENT TRIGGER notice_drops ON sql_drop WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION noticed();

CREATE TABLE tenants (id int PRIMARY KEY, owner_name name NOT NULL);
INSERT INTO tenants SELECT g, 'tenant' || g FROM generate_series(1, 30) g;
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenants_own ON tenants FOR SELECT TO census_app, "Census Reader" USING (owner_name = current_user);
CREATE POLICY tenants_write ON tenants AS RESTRICTIVE FOR UPDATE USING (true) WITH CHECK (id IN (1, 2));

CREATE TABLE notes (id int PRIMARY KEY, order_id bigint);
INSERT INTO notes VALUES (1, 1);
ALTER TABLE notes ADD CONSTRAINT notes_order FOREIGN KEY (order_id) REFERENCES orders NOT VALID;
CREATE TABLE booked (during tsrange, EXCLUDE USING gist (during WITH &&));
CREATE PUBLICATION everything_published FOR TABLE customers, orders WITH (publish = 'insert, update');
ALTER DEFAULT PRIVILEGES FOR ROLE census_app IN SCHEMA billing GRANT SELECT ON TABLES TO "Census Reader";
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE far (id int) SERVER elsewhere;
CREATE CAST (address AS text) WITH INOUT;
CREATE OPERATOR billing.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
CREATE TEXT SEARCH CONFIGURATION billing.plain (COPY = simple);
COMMENT ON TABLE customers IS 'who buys';
SELECT lo_from_bytea(90001, decode(repeat('00ff10', 700000), 'hex'));
SELECT lo_from_bytea(90002, '');
SELECT lo_create(90003);
SELECT lo_put(90003, 5000, 'after a hole');
