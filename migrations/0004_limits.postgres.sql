-- Who runs on this database, and what each of them may ask a provider at the moment. Twin of 0004_limits.sqlite.sql.

create table nodes (
    node text collate "C" primary key,        -- 32 hex digits; one for each start of a process
    number bigint not null,                   -- of the advisory lock that lives as long as the process
    version text collate "C" not null,
    started_at bigint not null,
    seen_at bigint not null                   -- when it last took its lock
);

-- One row for each provider: everybody who changes a share of it changes this row first, one after the other.
create table limits (
    provider text collate "C" primary key,
    budget bigint not null,                   -- repetitions that may still be made, in thousandths
    renewals bigint not null                  -- of shares so far
);

create table shares (
    provider text collate "C" not null,
    node text collate "C" not null,
    per_second bigint not null,
    ceded bigint not null,                    -- calls a second that it held before, and that still count
    ceded_until bigint not null,
    in_flight bigint not null,
    wants_per_second bigint not null,
    wants_in_flight bigint not null,
    until bigint not null,                    -- from here on it holds nothing
    primary key (provider, node)
);

-- A few rows that change every second.
alter table limits set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
alter table shares set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
