-- What operators read: by which bank how much is moved, until when what they asked for is in force, and the queue of
-- payments with all that ever waited in it. Twin of 0010_operators.postgres.sql.

alter table actions add column expires_at integer;

-- A payment that was queued once stays in the view to its end: queued, processing, completed or failed. Whether it was
-- tells its history, which has a row for each stay; the index has those rows alone.
create index history_queued on history (instance) where status = 'queued';
drop view pending_payments;
create view pending_payments as
select
    id,
    owner as user_id,
    order_doc as payment_data,
    status,
    strftime('%Y-%m-%dT%H:%M:%S', created_at / 1000000, 'unixepoch') || 'Z' as created_at
from instances
where id in (select instance from history where status = 'queued');

-- What lists are narrowed and added up by. Written with the start and never changed; those that are there are read once.
alter table instances add column bank text;
alter table instances add column amount integer;
alter table instances add column currency text;
update instances set
    bank = json_extract(order_doc, '$.payment.initiation.bank'),
    amount = json_extract(order_doc, '$.payment.initiation.amount.minor'),
    currency = json_extract(order_doc, '$.payment.initiation.amount.currency')
where kind in ('remittance', 'qr_payment');
