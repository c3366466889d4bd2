-- Running workflows, what is owed to them, and what became of them. Twin of 0001_engine.postgres.sql.
-- No foreign keys: a task, a history row and a message are only ever written in the transaction that holds their
-- instance, and instances are never deleted.

create table instances (
    id text primary key,              -- 32 hex digits
    kind text not null,
    version integer not null,         -- of both documents
    owner text not null,
    order_doc text not null,          -- JSON
    state_doc text not null,          -- JSON
    status text not null,
    phase text not null,
    attention text,
    seq integer not null,             -- revision; the guard of every transition
    hash text not null,               -- of the history row of that revision
    start_scope text not null,
    start_key text not null,
    start_hash text not null,
    created_at integer not null,      -- every time is in microseconds since 1970, UTC
    updated_at integer not null,
    completed_at integer,
    unique (start_scope, start_key)
) strict;
create index instances_by_owner on instances (owner, id);

create table history (
    instance text not null,
    seq integer not null,
    at integer not null,
    occurrence text not null,         -- JSON
    status text not null,
    phase text not null,
    actor text not null,
    step text not null,
    attempt integer not null,
    latency_us integer not null,
    hash text not null,
    primary key (instance, seq)
) strict;
create trigger history_refuses_update before update on history
begin
    select raise(abort, 'history is append-only');
end;
create trigger history_refuses_delete before delete on history
begin
    select raise(abort, 'history is append-only');
end;

-- Narrow and hot. `due_at` is when the task is due; while it is claimed, when the claim lapses. So one index and one
-- scan find both what is due and what was lost.
create table tasks (
    instance text not null,
    name text not null,
    born integer not null,            -- the revision that armed it
    lane text not null,
    due_at integer not null,
    attempts integer not null,
    losses integer not null,          -- claims that lapsed
    doubt integer not null,           -- 1: an attempt may have had its effect
    fence integer not null,           -- counts claims
    lease text,                       -- who holds it
    first_at integer,                 -- first claim
    finding text,                     -- what the last attempt brought
    primary key (instance, name)
) strict, without rowid;
create index tasks_by_due on tasks (lane, due_at);

-- Outside events that were heard.
create table inbox (
    source text not null,
    event text not null,
    instance text not null,
    seq integer not null,
    received_at integer not null,
    primary key (source, event)
) strict, without rowid;

-- Messages to be delivered.
create table outbox (
    instance text not null,
    seq integer not null,
    n integer not null,
    audience text not null,
    about text not null,
    created_at integer not null,
    primary key (instance, seq, n)
) strict, without rowid;
