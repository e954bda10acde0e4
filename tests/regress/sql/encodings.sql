-- encodings.sql -- json and text in databases that are not UTF-8: the same events, in lines that are
-- right in SQL and in the stream.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
\set database :DBNAME
SET client_min_messages = warning;

-- LATIN1: characters beyond ASCII are escaped
DROP DATABASE IF EXISTS regress_latin1;
CREATE DATABASE regress_latin1 ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_latin1
SET client_encoding = LATIN1;
SELECT FROM pg_create_logical_replication_slot('latin1', 'penstock');
CREATE TYPE U&"m\00F6od" AS ENUM (U&'\00E9');
CREATE TABLE U&"gr\00FCn"(U&"\00E4" text, a text[], m bytea, e U&"m\00F6od", plain text);
INSERT INTO U&"gr\00FCn" VALUES (U&'\00DF "\\'' ok', ARRAY[U&'\00E9', 'e'], '\xff', U&'\00E9', e'ascii\n');
SELECT FROM pg_logical_emit_message(true, U&'pr\00E9fix', convert_to(U&'\00FC', 'UTF8'));
SELECT FROM pg_logical_emit_message(true, 'bytes', '\xfc'::bytea);
SELECT data FROM pg_logical_slot_peek_changes('latin1', NULL, NULL, 'format', 'text', 'messages', 'on');
SELECT bool_and(data !~ '[^\x01-\x7f]') FROM pg_logical_slot_peek_changes('latin1', NULL, NULL, 'format', 'json', 'messages', 'on');
SELECT string_agg(data, e'\n' ORDER BY n) AS json FROM pg_logical_slot_peek_changes('latin1', NULL, NULL, 'format', 'json', 'messages', 'on') WITH ORDINALITY c(lsn, xid, data, n) \gset
SELECT encode(string_agg(data, '' ORDER BY n), 'hex') AS native FROM pg_logical_slot_peek_binary_changes('latin1', NULL, NULL, 'messages', 'on') WITH ORDINALITY c(lsn, xid, data, n) \gset
-- a pattern is in the encoding of the database
SELECT count(*) FROM pg_logical_slot_peek_changes('latin1', NULL, NULL, 'format', 'json', 'include_tables', U&'*.gr\00FC*');
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('latin1', NULL, NULL, 'values', 'binary');
SET client_encoding = UTF8;
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('latin1', NULL, NULL, 'values', 'binary');
SELECT FROM pg_drop_replication_slot('latin1');
\c :database
SET client_encoding = UTF8;
SELECT visible(line) FROM raw_events(ARRAY[decode(:'native', 'hex')]) line WHERE line NOT LIKE 'session %';
SELECT compare_formats(ARRAY[decode(:'native', 'hex')], NULL, string_to_array(:'json', e'\n'), NULL);
DROP DATABASE regress_latin1;

-- characters past U+FFFF are escaped by two
CREATE DATABASE regress_jis ENCODING 'EUC_JIS_2004' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_jis
SET client_encoding = UTF8;
SELECT FROM pg_create_logical_replication_slot('jis', 'penstock');
CREATE TABLE t(v text);
INSERT INTO t VALUES (U&'\+02000B\65E5 x');
SELECT data FROM pg_logical_slot_peek_changes('jis', NULL, NULL, 'format', 'text');
SELECT string_agg(data, e'\n' ORDER BY n) AS json FROM pg_logical_slot_peek_changes('jis', NULL, NULL, 'format', 'json') WITH ORDINALITY c(lsn, xid, data, n) \gset
SELECT encode(string_agg(data, '' ORDER BY n), 'hex') AS native FROM pg_logical_slot_peek_binary_changes('jis', NULL, NULL) WITH ORDINALITY c(lsn, xid, data, n) \gset
SELECT FROM pg_drop_replication_slot('jis');
\c :database
SET client_encoding = UTF8;
SELECT compare_formats(ARRAY[decode(:'native', 'hex')], NULL, string_to_array(:'json', e'\n'), NULL);
DROP DATABASE regress_jis;

-- SQL_ASCII: what is UTF-8 is text, the rest is bytes
CREATE DATABASE regress_ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_ascii
SET client_encoding = SQL_ASCII;
SELECT FROM pg_create_logical_replication_slot('ascii', 'penstock');
CREATE TABLE t(id int PRIMARY KEY, v text, a text[]);
INSERT INTO t VALUES (1, e'\xff\xfe', e'{"\xe9"}'), (2, e'\xc3\xbc', e'{"\xc3\xbc"}'), (3, 'ascii', '{}');
SELECT data FROM pg_logical_slot_peek_changes('ascii', NULL, NULL, 'format', 'text');
SELECT string_agg(data, e'\n' ORDER BY n) AS json FROM pg_logical_slot_peek_changes('ascii', NULL, NULL, 'format', 'json') WITH ORDINALITY c(lsn, xid, data, n) \gset
SELECT encode(string_agg(data, '' ORDER BY n), 'hex') AS native FROM pg_logical_slot_peek_binary_changes('ascii', NULL, NULL) WITH ORDINALITY c(lsn, xid, data, n) \gset
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('ascii', NULL, NULL, 'values', 'binary');
SELECT FROM pg_drop_replication_slot('ascii');
\c :database
SET client_encoding = UTF8;
SELECT compare_formats(ARRAY[decode(:'native', 'hex')], NULL, string_to_array(:'json', e'\n'), NULL);
DROP DATABASE regress_ascii;
