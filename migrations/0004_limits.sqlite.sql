-- Who runs on this database, and what each of them may ask a provider at the moment. Twin of 0004_limits.postgres.sql.

create table nodes (
    node text primary key,            -- 32 hex digits; one for each start of a process
    number integer not null,          -- of the advisory lock that lives as long as the process; unused here
    version text not null,
    started_at integer not null,
    seen_at integer not null
) strict, without rowid;

-- One row for each provider: everybody who changes a share of it changes this row first, one after the other.
create table limits (
    provider text primary key,
    budget integer not null,          -- repetitions that may still be made, in thousandths
    renewals integer not null         -- of shares so far
) strict, without rowid;

create table shares (
    provider text not null,
    node text not null,
    per_second integer not null,
    ceded integer not null,           -- calls a second that it held before, and that still count
    ceded_until integer not null,
    in_flight integer not null,
    wants_per_second integer not null,
    wants_in_flight integer not null,
    until integer not null,           -- from here on it holds nothing
    primary key (provider, node)
) strict, without rowid;
