/* penstock--0.1.0.sql -- what an operator asks a server that feeds Penstock. */

\echo Use "CREATE EXTENSION penstock" to load this file. \quit

/* The slots that Penstock reads, and what they hold back. */
CREATE VIEW penstock.slots AS
SELECT slot_name, database, active, active_pid, restart_lsn, confirmed_flush_lsn,
       pg_wal_lsn_diff(here.lsn, confirmed_flush_lsn) AS lag_bytes,
       pg_wal_lsn_diff(here.lsn, restart_lsn) AS retained_bytes,
       wal_status, safe_wal_size
FROM pg_catalog.pg_replication_slots,
     LATERAL (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                          ELSE pg_current_wal_lsn() END AS lsn) AS here
WHERE plugin = 'penstock';

COMMENT ON VIEW penstock.slots IS 'replication slots of plugin penstock, their lag and the WAL that they retain';
