-- What the outside world calls an instance by: the provider's id of a payment, by which its callbacks name it. And the
-- queue of payments under the name and columns of the runbooks, to be read only. Twin of 0005_references.postgres.sql.

alter table instances add column reference text;
create index instances_by_reference on instances (reference) where reference is not null;

create index instances_queued on instances (id) where status = 'queued';
create view pending_payments as
select
    id,
    owner as user_id,
    order_doc as payment_data,
    status,
    strftime('%Y-%m-%dT%H:%M:%S', created_at / 1000000, 'unixepoch') || 'Z' as created_at
from instances
where status = 'queued';
