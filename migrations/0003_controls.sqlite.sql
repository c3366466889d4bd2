-- What may be sent: breakers, switches, holds, queues. Twin of 0003_controls.postgres.sql.

create table controls (
    kind text not null,
    subject text not null,
    document text not null,           -- JSON
    version integer not null,         -- the revision that wrote it; the guard of every change
    updated_at integer not null,
    primary key (kind, subject)
) strict, without rowid;

-- One row, which grows with every change: whoever looks sees in one number whether anything is new.
create table controls_revision (
    revision integer not null
) strict;
insert into controls_revision (revision) values (0);
