-- The database of ExcelApp: spreadsheets, what an AI said about them, and what it cost.
-- As Rails makes it: bigint identifiers, timestamp(6) without a zone for moments, which are UTC.
-- Run as the application's role.

CREATE TABLE users (
    id bigserial PRIMARY KEY,
    email varchar NOT NULL UNIQUE,
    credits integer NOT NULL DEFAULT 0
);

-- Without an index on user_id: every page of a user reads all of it.
CREATE TABLE excel_files (
    id bigserial PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id),
    filename varchar NOT NULL,
    status varchar NOT NULL CHECK (status IN ('uploaded', 'processing', 'analyzed', 'failed')),
    file_size bigint NOT NULL,
    created_at timestamp(6) NOT NULL
);

CREATE TABLE ai_usage_records (
    id bigserial PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id),
    model varchar NOT NULL,
    tokens integer NOT NULL,
    cost numeric(12, 6) NOT NULL,
    created_at timestamp(6) NOT NULL
);

CREATE TABLE chat_conversations (
    id bigserial PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id),
    title varchar,
    created_at timestamp(6) NOT NULL
);

CREATE TABLE chat_messages (
    id bigserial PRIMARY KEY,
    chat_conversation_id bigint NOT NULL REFERENCES chat_conversations (id),
    role varchar NOT NULL CHECK (role IN ('user', 'assistant')),
    content text NOT NULL,
    created_at timestamp(6) NOT NULL
);

CREATE TABLE payments (
    id bigserial PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users (id),
    amount integer NOT NULL,
    status varchar NOT NULL CHECK (status IN ('pending', 'paid', 'failed')),
    created_at timestamp(6) NOT NULL
);

CREATE TABLE formula_requests (
    id bigserial PRIMARY KEY,
    status varchar NOT NULL CHECK (status IN ('succeeded', 'failed', 'timeout')),
    duration_ms integer NOT NULL,
    created_at timestamp(6) NOT NULL
);

CREATE TABLE schema_migrations (
    version varchar NOT NULL PRIMARY KEY
);

CREATE INDEX index_ai_usage_records_on_created_at ON ai_usage_records (created_at);
CREATE INDEX index_ai_usage_records_on_user_id ON ai_usage_records (user_id);
CREATE INDEX index_chat_conversations_on_user_id ON chat_conversations (user_id);
CREATE INDEX index_chat_messages_on_chat_conversation_id ON chat_messages (chat_conversation_id);
CREATE INDEX index_chat_messages_on_created_at ON chat_messages (created_at);
CREATE INDEX index_payments_on_user_id ON payments (user_id);
