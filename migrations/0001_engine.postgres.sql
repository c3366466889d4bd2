-- Running workflows, what is owed to them, and what became of them. Twin of 0001_engine.sqlite.sql.
-- No foreign keys: a task, a history row and a message are only ever written in the transaction that holds their
-- instance, and instances are never deleted.

create table instances (
    id text collate "C" primary key,          -- 32 hex digits
    kind text collate "C" not null,
    version bigint not null,                  -- of both documents
    owner text collate "C" not null,
    order_doc text collate "C" not null,      -- JSON
    state_doc text collate "C" not null,      -- JSON
    status text collate "C" not null,
    phase text collate "C" not null,
    attention text collate "C",
    seq bigint not null,                      -- revision; the guard of every transition
    hash text collate "C" not null,           -- of the history row of that revision
    start_scope text collate "C" not null,
    start_key text collate "C" not null,
    start_hash text collate "C" not null,
    created_at bigint not null,               -- every time is in microseconds since 1970, UTC
    updated_at bigint not null,
    completed_at bigint,
    unique (start_scope, start_key)
);
create index instances_by_owner on instances (owner, id);

create table history (
    instance text collate "C" not null,
    seq bigint not null,
    at bigint not null,
    occurrence text collate "C" not null,     -- JSON
    status text collate "C" not null,
    phase text collate "C" not null,
    actor text collate "C" not null,
    step text collate "C" not null,
    attempt bigint not null,
    latency_us bigint not null,
    hash text collate "C" not null,
    primary key (instance, seq)
);
create function history_refuses() returns trigger language plpgsql as $$
begin
    raise exception 'history is append-only';
end
$$;
create trigger history_refuses_change before update or delete on history
    for each row execute function history_refuses();
create trigger history_refuses_truncate before truncate on history
    for each statement execute function history_refuses();

-- Narrow and hot. `due_at` is when the task is due; while it is claimed, when the claim lapses. So one index and one
-- scan find both what is due and what was lost.
create table tasks (
    instance text collate "C" not null,
    name text collate "C" not null,
    born bigint not null,                     -- the revision that armed it
    lane text collate "C" not null,
    due_at bigint not null,
    attempts bigint not null,
    losses bigint not null,                   -- claims that lapsed
    doubt bigint not null,                    -- 1: an attempt may have had its effect
    fence bigint not null,                    -- counts claims
    lease text collate "C",                   -- who holds it
    first_at bigint,                          -- first claim
    finding text collate "C",                 -- what the last attempt brought
    primary key (instance, name)
);
create index tasks_by_due on tasks (lane, due_at);

-- Outside events that were heard.
create table inbox (
    source text collate "C" not null,
    event text collate "C" not null,
    instance text collate "C" not null,
    seq bigint not null,
    received_at bigint not null,
    primary key (source, event)
);

-- Messages to be delivered.
create table outbox (
    instance text collate "C" not null,
    seq bigint not null,
    n bigint not null,
    audience text collate "C" not null,
    about text collate "C" not null,
    created_at bigint not null,
    primary key (instance, seq, n)
);

-- A revision changes no indexed column of its instance, so free space on the page lets it stay there. Tasks live for
-- seconds and leave dead rows at the rate of work: clean up by count, not by share, and without pausing.
alter table instances set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
alter table tasks set (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
