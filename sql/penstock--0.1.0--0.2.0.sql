/* penstock--0.1.0--0.2.0.sql -- a slot's changes as JSON, messages into the WAL, and a check of what
 * the server lacks.
 *
 * Every function runs with the rights of its caller and with nothing of the caller's search_path.
 * Columns that only newer servers have are read by way of to_jsonb: one script serves 14 to 18. */

\echo Use "ALTER EXTENSION penstock UPDATE TO '0.2.0'" to load this file. \quit

/* ---- slots ---- */

/* The columns of 0.1.0 stay in front, so that views made over this one survive the update. */
CREATE OR REPLACE VIEW penstock.slots AS
SELECT s.slot_name, s.database, s.active, s.active_pid, s.restart_lsn, s.confirmed_flush_lsn,
       pg_wal_lsn_diff(here.lsn, s.confirmed_flush_lsn) AS lag_bytes,
       pg_wal_lsn_diff(here.lsn, s.restart_lsn) AS retained_bytes,
       s.wal_status, s.safe_wal_size,
       r.replay_lag AS lag_time,
       s.temporary, s.two_phase,
       (to_jsonb(s) ->> 'inactive_since')::timestamptz AS inactive_since,
       (to_jsonb(s) ->> 'conflicting')::boolean AS conflicting,
       to_jsonb(s) ->> 'invalidation_reason' AS invalidation_reason,
       (to_jsonb(s) ->> 'failover')::boolean AS failover,
       (to_jsonb(s) ->> 'synced')::boolean AS synced,
       t.spill_txns, t.spill_count, t.spill_bytes,
       t.stream_txns, t.stream_count, t.stream_bytes,
       t.total_txns, t.total_bytes, t.stats_reset
FROM pg_catalog.pg_replication_slots s
     CROSS JOIN LATERAL (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                     ELSE pg_current_wal_lsn() END AS lsn) AS here
     LEFT JOIN pg_catalog.pg_stat_replication r ON r.pid = s.active_pid
     LEFT JOIN pg_catalog.pg_stat_replication_slots t ON t.slot_name = s.slot_name
WHERE s.plugin = 'penstock';

COMMENT ON VIEW penstock.slots IS 'replication slots of plugin penstock, their lag, and the WAL that they retain';
COMMENT ON COLUMN penstock.slots.lag_bytes IS 'WAL that the client has not confirmed';
COMMENT ON COLUMN penstock.slots.lag_time IS 'age of what the client confirmed last; NULL if it is not connected, has nothing to confirm, or the caller may not see it (pg_read_all_stats)';
COMMENT ON COLUMN penstock.slots.retained_bytes IS 'WAL that the server keeps for the slot';
COMMENT ON COLUMN penstock.slots.safe_wal_size IS 'WAL that may still be written before the slot is in danger; NULL without max_slot_wal_keep_size';
COMMENT ON COLUMN penstock.slots.inactive_since IS 'NULL before PostgreSQL 17';
COMMENT ON COLUMN penstock.slots.conflicting IS 'NULL before PostgreSQL 16';
COMMENT ON COLUMN penstock.slots.invalidation_reason IS 'NULL before PostgreSQL 17';
COMMENT ON COLUMN penstock.slots.failover IS 'NULL before PostgreSQL 17';
COMMENT ON COLUMN penstock.slots.synced IS 'NULL before PostgreSQL 17';

/* As pg_replication_slots. Who may use the schema is its owner's choice. */
GRANT SELECT ON penstock.slots TO PUBLIC;

/* Where that exists, read the catalogs as the caller: they may have been closed to some. */
DO $$
BEGIN
    IF pg_catalog.current_setting('server_version_num')::int >= 150000 THEN
        ALTER VIEW penstock.slots SET (security_invoker = true);
    END IF;
END
$$;

/* ---- changes ---- */

CREATE FUNCTION penstock.peek(slot name, upto_lsn pg_lsn DEFAULT NULL, upto_nchanges int DEFAULT NULL,
                              VARIADIC options text[] DEFAULT '{}')
RETURNS TABLE(lsn pg_lsn, xid xid, change jsonb)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.lsn, c.xid, c.data::jsonb
    FROM pg_logical_slot_peek_changes(slot, upto_lsn, upto_nchanges,
             VARIADIC options || '{format,json,batch_bytes,0}'::text[]) c
$$;

COMMENT ON FUNCTION penstock.peek(name, pg_lsn, int, text[]) IS
'the changes in a slot of plugin penstock as JSON (proto/FORMAT.md), without consuming them; options of the plugin as name, value, ...';

/*
 * pg_logical_slot_get_changes has confirmed everything before its first row is seen, so a row that
 * does not become jsonb would be lost. Here everything is decoded and cast first, and the slot is
 * advanced after that, to where the decoding ended. A transaction belongs to what comes before an
 * LSN if its commit record begins before it, in decoding as in pg_replication_slot_advance.
 */
CREATE FUNCTION penstock.get(slot name, upto_lsn pg_lsn DEFAULT NULL, upto_nchanges int DEFAULT NULL,
                             VARIADIC options text[] DEFAULT '{}')
RETURNS TABLE(lsn pg_lsn, xid xid, change jsonb)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target pg_lsn := least(upto_lsn, CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                          ELSE pg_current_wal_flush_lsn() END);
    confirmed pg_lsn := (SELECT s.confirmed_flush_lsn FROM pg_replication_slots s WHERE s.slot_name = slot);
    given bigint := 0;
BEGIN
    -- The slot is free between decoding and advancing: two callers must not be given the same rows.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('penstock.get ' || slot, 0)) THEN
        RAISE object_in_use USING
            MESSAGE = format('replication slot "%s" is read by penstock.get() in another transaction', slot);
    END IF;

    FOR lsn, xid, change IN
        SELECT c.lsn, c.xid, c.data::jsonb
        FROM pg_logical_slot_peek_changes(slot, target, upto_nchanges,
                 VARIADIC options || '{format,json,batch_bytes,0}'::text[]) c
    LOOP
        given := given + 1;
        RETURN NEXT;
    END LOOP;

    -- lsn is that of the last row now. Stopped by the number of rows, decoding ended there.
    IF upto_nchanges <> 0 AND given >= upto_nchanges THEN
        target := lsn;
    ELSE
        target := greatest(target, lsn);
    END IF;
    IF confirmed IS DISTINCT FROM
        (SELECT s.confirmed_flush_lsn FROM pg_replication_slots s WHERE s.slot_name = slot) THEN
        RAISE object_in_use USING
            MESSAGE = format('replication slot "%s" was advanced by another client meanwhile', slot);
    END IF;
    IF target > confirmed THEN
        PERFORM pg_replication_slot_advance(slot, target);
    END IF;
END
$$;

COMMENT ON FUNCTION penstock.get(name, pg_lsn, int, text[]) IS
'the changes in a slot of plugin penstock as JSON, consuming them. Nothing is consumed if decoding or the cast to jsonb fails. All of it is consumed once the first row is returned: LIMIT, a cursor that is closed early, or a ROLLBACK bring nothing back; take part by upto_lsn or upto_nchanges. To consume only what is processed, use peek and then pg_replication_slot_advance with the lsn of a last row';

/*
 * The bytes may be anybody's: nothing in them is believed, and damage is an error that says where.
 * The elements are one stream, so what an earlier one describes is known to the later ones.
 */
CREATE FUNCTION penstock.decode(capture bytea[])
RETURNS TABLE(lsn pg_lsn, xid xid, change jsonb)
AS 'MODULE_PATHNAME', 'penstock_decode'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION penstock.decode(bytea[]) IS
'captures of the native format as JSON (proto/FORMAT.md): messages of a slot of plugin penstock, in order, from the beginning of a session';

/* ---- messages ---- */

/* As UTF-8, whatever the database's encoding: that is what readers of JSON expect. */
CREATE FUNCTION penstock.emit(prefix text, content jsonb, transactional boolean DEFAULT true)
RETURNS pg_lsn
LANGUAGE sql VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pg_logical_emit_message(transactional, prefix, convert_to(content::text, 'UTF8')) $$;

CREATE FUNCTION penstock.emit(prefix text, content bytea, transactional boolean DEFAULT true)
RETURNS pg_lsn
LANGUAGE sql VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pg_logical_emit_message(transactional, prefix, content) $$;

COMMENT ON FUNCTION penstock.emit(text, jsonb, boolean) IS
'write a message, JSON in UTF-8, into the WAL for the readers of slots: with the transaction, or at once';
COMMENT ON FUNCTION penstock.emit(text, bytea, boolean) IS
'write a message into the WAL for the readers of slots: with the transaction, or at once';

CREATE FUNCTION penstock.heartbeat()
RETURNS pg_lsn
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE read_only_sql_transaction USING
            MESSAGE = 'a standby cannot write a heartbeat into the WAL',
            HINT = 'Call penstock.heartbeat() at the primary; the standby''s slots receive it too.';
    END IF;
    RETURN pg_logical_emit_message(false, 'penstock.heartbeat', '');
END
$$;

COMMENT ON FUNCTION penstock.heartbeat() IS
'write an empty message, so that a slot of a database without changes can move on and release WAL';

/* ---- what stands in the way ---- */

/*
 * Each part gives its findings; penstock.check() gathers them. level is error (it does not work, or
 * is lost), warning (it will fail or fall behind one day), or info.
 */
CREATE FUNCTION penstock.check_server()
RETURNS TABLE(level text, item text, found text, remedy text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH setting AS (
        -- a missing key is a setting that the server does not have, or that the caller may not see
        SELECT jsonb_object_agg(s.name, s.setting) AS value
        FROM pg_settings s
        WHERE s.name IN ('wal_level', 'max_replication_slots', 'max_wal_senders', 'max_slot_wal_keep_size',
                         'wal_sender_timeout', 'output_plugin_libraries', 'logical_decoding_work_mem',
                         'max_prepared_transactions', 'hot_standby_feedback', 'server_version_num')
    ), used AS (
        SELECT (SELECT count(*) FROM pg_replication_slots) AS slots,
               (SELECT count(*) FROM pg_stat_replication) AS senders,
               (SELECT string_agg(s.slot_name, ', ' ORDER BY s.slot_name) FROM pg_replication_slots s
                WHERE s.plugin = 'penstock' AND s.two_phase) AS two_phase
    )
    SELECT f.level, f.item, f.found, f.remedy
    FROM setting, used, LATERAL (VALUES
        (value ->> 'wal_level' <> 'logical',
         'error', 'wal_level', value ->> 'wal_level',
         'Set wal_level = logical and restart the server.'),
        (slots >= (value ->> 'max_replication_slots')::int,
         'warning', 'max_replication_slots', format('all %s in use', value ->> 'max_replication_slots'),
         'Raise max_replication_slots and restart the server, or drop slots that nobody reads.'),
        (senders >= (value ->> 'max_wal_senders')::int,
         'warning', 'max_wal_senders', format('all %s in use', value ->> 'max_wal_senders'),
         'Raise max_wal_senders and restart the server.'),
        (value ->> 'max_slot_wal_keep_size' = '-1',
         'warning', 'max_slot_wal_keep_size', 'no limit: a slot that nobody reads fills the disk',
         'Set max_slot_wal_keep_size to what the disk can spare, and reload.'),
        (value ->> 'wal_sender_timeout' = '0',
         'warning', 'wal_sender_timeout', '0: a dead client is not noticed, and every write of a stream costs a system call more',
         'Set wal_sender_timeout to a time, such as the default of 60s, and reload.'),
        (value ->> 'output_plugin_libraries' !~ '(^|,)\s*"?penstock"?\s*(,|$)',
         'error', 'output_plugin_libraries', value ->> 'output_plugin_libraries',
         'Add penstock to output_plugin_libraries and reload.'),
        ((value ->> 'logical_decoding_work_mem')::int < 65536,
         'warning', 'logical_decoding_work_mem', pg_size_pretty((value ->> 'logical_decoding_work_mem')::bigint * 1024)
             || ': larger transactions are decoded by way of the disk',
         'Set logical_decoding_work_mem to 64MB, the default, or more, and reload.'),
        (two_phase IS NOT NULL AND value ->> 'max_prepared_transactions' = '0',
         'warning', 'max_prepared_transactions', format('0, but two-phase slots: %s', two_phase),
         'Raise max_prepared_transactions and restart the server if transactions shall be prepared.'),
        (pg_is_in_recovery() AND (value ->> 'server_version_num')::int < 160000,
         'error', 'standby', 'this server is a standby, and standbys decode from PostgreSQL 16 on',
         'Use the slot of the primary.'),
        (pg_is_in_recovery() AND (value ->> 'server_version_num')::int >= 160000 AND value ->> 'hot_standby_feedback' = 'off',
         'warning', 'hot_standby_feedback', 'off: vacuum at the primary may invalidate the slots of this standby',
         'Set hot_standby_feedback = on, and let the standby use a slot of the primary.'),
        (getdatabaseencoding() <> 'UTF8',
         'info', 'encoding', getdatabaseencoding() || ': texts are converted to UTF-8, or travel as bytes where that fails',
         NULL)
    ) AS f(wrong, level, item, found, remedy)
    WHERE f.wrong
$$;

CREATE FUNCTION penstock.check_slots()
RETURNS TABLE(level text, item text, found text, remedy text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH slot AS (
        SELECT s.*,
               pg_size_pretty(s.retained_bytes) AS retained,
               s.wal_status IS NOT DISTINCT FROM 'lost' OR s.invalidation_reason IS NOT NULL AS lost,
               (SELECT g.setting::numeric * 1024 * 1024 FROM pg_settings g WHERE g.name = 'max_wal_size') AS much
        FROM penstock.slots s
    )
    SELECT 'error', 'slot ' || slot_name, concat('lost', ' (' || invalidation_reason || ')'),
           'Changes are gone: drop the slot, create it anew, and copy the tables again.'
    FROM slot WHERE lost
    UNION ALL
    SELECT 'error', 'slot ' || slot_name, 'unreserved: about to be lost, WAL that it needs is to be removed',
           'Let its client catch up at once, or raise max_slot_wal_keep_size.'
    FROM slot WHERE NOT lost AND wal_status = 'unreserved'
    UNION ALL
    SELECT 'warning', 'slot ' || slot_name, concat('inactive', ' since ' || inactive_since::text, ', retains ', retained),
           'Start its client, or drop the slot if nobody needs it.'
    FROM slot WHERE NOT lost AND NOT active AND NOT temporary
    UNION ALL
    SELECT 'warning', 'slot ' || slot_name, format('retains %s of WAL, more than max_wal_size', retained),
           'See why its client does not confirm: a slow destination, a long transaction; penstock.heartbeat() if its database is idle.'
    FROM slot WHERE NOT lost AND retained_bytes > much
$$;

/* What UPDATE and DELETE of a table say of the old row. Leaves of partitioned tables have an identity
 * of their own, so each is looked at for itself. */
CREATE FUNCTION penstock.check_tables()
RETURNS TABLE(level text, item text, found text, remedy text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH relation AS (
        SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relreplident AS identity,
               k.usable_primary, k.deferrable_primary, k.chosen, k.candidate
        FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace
             CROSS JOIN LATERAL (
                 SELECT bool_or(i.indisprimary AND i.indimmediate) AS usable_primary,
                        bool_or(i.indisprimary AND NOT i.indimmediate) AS deferrable_primary,
                        bool_or(i.indisreplident) AS chosen,
                        min(quote_ident(x.relname)) FILTER (WHERE i.indimmediate AND i.indpred IS NULL
                            AND NOT EXISTS (
                                SELECT FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS key(attnum)
                                     LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = key.attnum
                                WHERE a.attnotnull IS NOT TRUE)) AS candidate
                 FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                 WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid) k
        WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
              AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    )
    SELECT 'warning', 'table ' || name,
           CASE WHEN identity = 'f' THEN 'REPLICA IDENTITY FULL: old rows are logged whole, and are slow to find'
                WHEN identity = 'n' THEN 'REPLICA IDENTITY NOTHING: updates and deletes name no row'
                WHEN identity = 'i' THEN 'the index of its REPLICA IDENTITY is gone: updates and deletes name no row'
                WHEN deferrable_primary THEN 'a deferrable primary key is no replica identity: updates and deletes name no row'
                ELSE 'no primary key or other replica identity: updates and deletes name no row' END,
           CASE WHEN usable_primary THEN format('ALTER TABLE %s REPLICA IDENTITY DEFAULT', name)
                WHEN candidate IS NOT NULL THEN format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %s', name, candidate)
                WHEN deferrable_primary THEN format('Make the primary key of %s NOT DEFERRABLE', name)
                WHEN identity = 'f' THEN format('ALTER TABLE %s ADD PRIMARY KEY (...), then REPLICA IDENTITY DEFAULT', name)
                ELSE format('ALTER TABLE %s ADD PRIMARY KEY (...), or REPLICA IDENTITY FULL', name) END
    FROM relation
    WHERE CASE identity WHEN 'd' THEN usable_primary IS NOT TRUE
                        WHEN 'i' THEN chosen IS NOT TRUE
                        ELSE true END
$$;

CREATE FUNCTION penstock.check_roles()
RETURNS TABLE(level text, item text, found text, remedy text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'info', 'role ' || quote_ident(r.rolname), 'has no REPLICATION, so may not read slots',
           format('ALTER ROLE %I REPLICATION if it shall: it then can read every change of every database that it may connect to', r.rolname)
    FROM pg_roles r
    WHERE r.rolname = current_user AND NOT r.rolreplication AND NOT r.rolsuper
    UNION ALL
    SELECT 'info', 'replication roles', string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname),
           'These can log in and read every change: let them be few.'
    FROM pg_roles r
    WHERE r.rolcanlogin AND (r.rolreplication OR r.rolsuper)
    HAVING count(*) > 0
$$;

/* Transactions, open or prepared for longer than that: slots hold WAL and dead catalog rows for them. */
CREATE FUNCTION penstock.check_transactions(longer_than interval DEFAULT '10 minutes')
RETURNS TABLE(level text, item text, found text, remedy text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'warning', 'transaction of process ' || a.pid,
           format('%s since %s, by %s in %s: holds back every slot', a.state, a.xact_start, quote_ident(a.usename), quote_ident(a.datname)),
           format('End it, or SELECT pg_terminate_backend(%s)', a.pid)
    FROM pg_stat_activity a
    WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
          AND a.xact_start < clock_timestamp() - longer_than
          AND (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)
    UNION ALL
    SELECT 'warning', 'prepared transaction ' || quote_literal(p.gid),
           format('prepared at %s by %s in %s: holds back every slot', p.prepared, quote_ident(p.owner), quote_ident(p.database)),
           format('In database %I: COMMIT PREPARED %L or ROLLBACK PREPARED %L', p.database, p.gid, p.gid)
    FROM pg_prepared_xacts p
    WHERE p.prepared < clock_timestamp() - longer_than
    UNION ALL
    SELECT 'info', 'transactions', format('those of other roles are hidden from %I', current_user),
           format('GRANT pg_read_all_stats TO %I', current_user)
    WHERE NOT pg_has_role('pg_read_all_stats', 'USAGE')
$$;

COMMENT ON FUNCTION penstock.check_server() IS 'the part of penstock.check() about settings';
COMMENT ON FUNCTION penstock.check_slots() IS 'the part of penstock.check() about slots of plugin penstock';
COMMENT ON FUNCTION penstock.check_tables() IS 'the part of penstock.check() about replica identities in this database';
COMMENT ON FUNCTION penstock.check_roles() IS 'the part of penstock.check() about roles';
COMMENT ON FUNCTION penstock.check_transactions(interval) IS 'the part of penstock.check() about old transactions, open or prepared';

/* A part whose catalogs were closed to the caller is itself a finding, so that the others are seen. */
CREATE FUNCTION penstock.check(longer_than interval DEFAULT '10 minutes')
RETURNS TABLE(level text, item text, found text, remedy text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part text;
    findings jsonb;
    every jsonb := '[]';
BEGIN
    FOREACH part IN ARRAY '{server,slots,tables,roles,transactions}'::text[] LOOP
        BEGIN
            CASE part
                WHEN 'server' THEN findings := (SELECT jsonb_agg(f) FROM penstock.check_server() f);
                WHEN 'slots' THEN findings := (SELECT jsonb_agg(f) FROM penstock.check_slots() f);
                WHEN 'tables' THEN findings := (SELECT jsonb_agg(f) FROM penstock.check_tables() f);
                WHEN 'roles' THEN findings := (SELECT jsonb_agg(f) FROM penstock.check_roles() f);
                WHEN 'transactions' THEN findings := (SELECT jsonb_agg(f) FROM penstock.check_transactions(longer_than) f);
            END CASE;
        EXCEPTION WHEN insufficient_privilege THEN
            findings := jsonb_build_array(jsonb_build_object('level', 'info', 'item', part,
                'found', 'could not be looked at: ' || SQLERRM, 'remedy', 'Ask a role that may.'));
        END;
        every := every || coalesce(findings, '[]');
    END LOOP;
    IF NOT every @? '$[*].level ? (@ == "error" || @ == "warning")' THEN
        every := every || '[{"level": "ok", "item": "penstock", "found": "nothing stands in the way"}]';
    END IF;
    RETURN QUERY
        SELECT f.level, f.item, f.found, f.remedy
        FROM jsonb_to_recordset(every) AS f(level text, item text, found text, remedy text)
        ORDER BY array_position('{error,warning,info,ok}', f.level), f.item COLLATE "C", f.found COLLATE "C";
END
$$;

COMMENT ON FUNCTION penstock.check(interval) IS
'what stands in the way of penstock at this server and in this database: a row a finding, worst first, with its remedy; old transactions are those older than longer_than. With no error and no warning there is a row of level ok';
