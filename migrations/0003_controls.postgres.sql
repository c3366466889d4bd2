-- What may be sent: breakers, switches, holds, queues. Twin of 0003_controls.sqlite.sql.

create table controls (
    kind text collate "C" not null,
    subject text collate "C" not null,
    document text collate "C" not null,           -- JSON
    version bigint not null,         -- the revision that wrote it; the guard of every change
    updated_at bigint not null,
    primary key (kind, subject)
);

-- One row, which grows with every change: whoever looks sees in one number whether anything is new.
create table controls_revision (
    revision bigint not null
) with (fillfactor = 10);
insert into controls_revision (revision) values (0);
