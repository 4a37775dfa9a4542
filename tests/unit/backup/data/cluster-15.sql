--
-- PostgreSQL database cluster dump
--

\restrict HtilCRMEwN5U52b3UW5FeCAEhSlQrJqsM9FyUWerRlsMATJmMEa6I8XkaWYM032

SET default_transaction_read_only = off;

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

--
-- Roles
--

CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS;

--
-- User Configurations
--








\unrestrict HtilCRMEwN5U52b3UW5FeCAEhSlQrJqsM9FyUWerRlsMATJmMEa6I8XkaWYM032

--
-- Databases
--

--
-- Database "template1" dump
--

\connect template1

--
-- PostgreSQL database dump
--

\restrict bGN5fTOerCzpZk1g2gYzJDhvs3rUXpoS6G7NdF3vm0b7tyb50djl0pxs9oLP9dr

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- PostgreSQL database dump complete
--

\unrestrict bGN5fTOerCzpZk1g2gYzJDhvs3rUXpoS6G7NdF3vm0b7tyb50djl0pxs9oLP9dr

--
-- Database "postgres" dump
--

\connect postgres

--
-- PostgreSQL database dump
--

\restrict DuqIqBz2lXipTyS0yJ1l25peLu3Ll5ZlDv67bm3xLUkUji0lBSNMehjaQTpDsrE

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- PostgreSQL database dump complete
--

\unrestrict DuqIqBz2lXipTyS0yJ1l25peLu3Ll5ZlDv67bm3xLUkUji0lBSNMehjaQTpDsrE

--
-- Database "shop" dump
--

--
-- PostgreSQL database dump
--

\restrict r69LM7WzEoKmD7TC75IA1PHjjCF77WjOO86gFTdUr21bCi5mdRlWnWExbiQbfTf

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: shop; Type: DATABASE; Schema: -; Owner: postgres
--

CREATE DATABASE shop WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C';


ALTER DATABASE shop OWNER TO postgres;

\unrestrict r69LM7WzEoKmD7TC75IA1PHjjCF77WjOO86gFTdUr21bCi5mdRlWnWExbiQbfTf
\connect shop
\restrict r69LM7WzEoKmD7TC75IA1PHjjCF77WjOO86gFTdUr21bCi5mdRlWnWExbiQbfTf

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: orders; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.orders (
    id integer NOT NULL,
    item text NOT NULL
);


ALTER TABLE public.orders OWNER TO postgres;

--
-- Name: all_orders; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.all_orders AS
 SELECT orders.id,
    orders.item
   FROM public.orders;


ALTER TABLE public.all_orders OWNER TO postgres;

--
-- Name: empty; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.empty (
    x integer
);


ALTER TABLE public.empty OWNER TO postgres;

--
-- Name: numbers; Type: SEQUENCE; Schema: public; Owner: postgres
--

CREATE SEQUENCE public.numbers
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public.numbers OWNER TO postgres;

--
-- Name: 16396; Type: BLOB; Schema: -; Owner: postgres
--

SELECT pg_catalog.lo_create('16396');


ALTER LARGE OBJECT 16396 OWNER TO postgres;

--
-- Data for Name: empty; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.empty (x) FROM stdin;
\.


--
-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.orders (id, item) FROM stdin;
1	item 1
2	item 2
3	item 3
4	item 4
5	item 5
6	item 6
7	item 7
8	item 8
9	item 9
10	item 10
11	item 11
12	item 12
13	item 13
14	item 14
15	item 15
16	item 16
17	item 17
18	item 18
19	item 19
20	item 20
21	item 21
22	item 22
23	item 23
24	item 24
25	item 25
26	item 26
27	item 27
28	item 28
29	item 29
30	item 30
31	item 31
32	item 32
33	item 33
34	item 34
35	item 35
36	item 36
37	item 37
38	item 38
39	item 39
40	item 40
\.


--
-- Name: numbers; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.numbers', 7, true);


--
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

BEGIN;

SELECT pg_catalog.lo_open('16396', 131072);
SELECT pg_catalog.lowrite(0, '\x616263');
SELECT pg_catalog.lo_close(0);

COMMIT;

--
-- Name: orders orders_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);


--
-- PostgreSQL database dump complete
--

\unrestrict r69LM7WzEoKmD7TC75IA1PHjjCF77WjOO86gFTdUr21bCi5mdRlWnWExbiQbfTf

--
-- PostgreSQL database cluster dump complete
--

