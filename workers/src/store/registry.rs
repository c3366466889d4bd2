//! The product's own tables on a SQL database.

use std::sync::Arc;

use async_trait::async_trait;
use workflows::accounts::Bic;
use workflows::ids::{BankAccountId, MerchantId, RecipientId, UserId};
use workflows::money::Currency;
use workflows::ports::payments::BankId;
use workflows::time::At;

use super::Trouble;
use super::driver::{Driver, Transaction};
use super::sql::{SqlStore, each, finish, first, lost, not_committed};
use super::statement::Batched;
use super::statement::Column::{Int, Text};
use super::value::{Misread, Row, Value};
use crate::registry::{ApiKey, BankAccount, ExchangeRate, KycStatus, Merchant, Recipient, Registry, User};

#[async_trait]
impl<D: Driver> Registry for SqlStore<D> {
    async fn put_user(&self, user: &User, now: At) -> Result<(), Trouble> {
        const DOING: &str = "store a user";
        static PUT: Batched = Batched {
            columns: &[
                Text("id"),
                Text("first_name"),
                Text("last_name"),
                Text("email"),
                Text("phone"),
                Text("birth_date"),
                Text("kyc"),
                Int("now"),
            ],
            sql: "/* put user */ with {d} \
                  insert into users \
                  (id, first_name, last_name, email, phone, birth_date, kyc, created_at, updated_at) \
                  select id, first_name, last_name, email, phone, birth_date, kyc, now, now from d \
                  where id is not null \
                  on conflict (id) do update set first_name = excluded.first_name, \
                  last_name = excluded.last_name, email = excluded.email, phone = excluded.phone, \
                  birth_date = excluded.birth_date, kyc = excluded.kyc, updated_at = excluded.updated_at",
            returning: "",
        };
        let cells = [
            user.id.as_str().into(),
            user.first_name.as_str().into(),
            user.last_name.as_str().into(),
            user.email.as_deref().into(),
            user.phone.as_deref().into(),
            user.birth_date.map(|date| date.to_string()).into(),
            user.kyc.as_str().into(),
            now.into(),
        ];
        self.put(DOING, &PUT, &cells).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, Trouble> {
        const DOING: &str = "read a user";
        let rows = self
            .read(
                DOING,
                "/* user */ select id, first_name, last_name, email, phone, birth_date, kyc \
                 from users where id = $1",
                &[id.as_str().into()],
            )
            .await?;
        first(DOING, rows, user)
    }

    async fn put_bank_account(&self, account: &BankAccount, now: At) -> Result<bool, Trouble> {
        const DOING: &str = "store a bank account";
        static PUT: Batched = Batched {
            columns: &[
                Text("id"),
                Text("owner"),
                Text("bank"),
                Text("bank_name"),
                Text("iban"),
                Text("provider_account"),
                Text("currency"),
                Text("provider_consent"),
                Int("consent_expires_at"),
                Int("is_primary"),
                Int("now"),
            ],
            sql: "/* put bank account */ with {d} \
                  insert into bank_accounts (id, owner, bank, bank_name, iban, provider_account, currency, \
                  provider_consent, consent_expires_at, is_primary, created_at, updated_at) \
                  select id, owner, bank, bank_name, iban, provider_account, currency, \
                  provider_consent, consent_expires_at, is_primary, now, now from d \
                  where id is not null \
                  on conflict (id) do update set bank = excluded.bank, bank_name = excluded.bank_name, \
                  iban = excluded.iban, provider_account = excluded.provider_account, \
                  currency = excluded.currency, provider_consent = excluded.provider_consent, \
                  consent_expires_at = excluded.consent_expires_at, is_primary = excluded.is_primary, \
                  updated_at = excluded.updated_at, \
                  balance_synced_at = case when bank_accounts.bank = excluded.bank \
                  and bank_accounts.iban = excluded.iban \
                  and bank_accounts.provider_account = excluded.provider_account \
                  and bank_accounts.currency = excluded.currency \
                  then bank_accounts.balance_synced_at end \
                  where bank_accounts.owner = excluded.owner returning id",
            returning: "",
        };
        let owner: Value = account.owner.as_str().into();
        let cells = [
            account.id.as_str().into(),
            owner.clone(),
            account.bank.0.as_str().into(),
            account.bank_name.as_str().into(),
            account.iban.as_str().into(),
            account.provider_account.as_str().into(),
            account.currency.as_str().into(),
            account.provider_consent.as_deref().into(),
            account.consent_expires_at.into(),
            account.primary.into(),
            now.into(),
        ];
        let mut tx = self.begin(DOING).await?;
        if account.primary {
            // An index allows one primary account for each owner, so the others give way first.
            tx.touch(
                "/* make secondary */ update bank_accounts set is_primary = 0, updated_at = $3 \
                 where owner = $1 and id <> $2 and is_primary = 1",
                &[owner, account.id.as_str().into(), now.into()],
            )
            .await
            .map_err(lost(DOING))?;
        }
        let stored = !tx.batch(&PUT, &cells).await.map_err(lost(DOING))?.is_empty();
        if stored {
            finish(DOING, tx).await?;
        }
        Ok(stored)
    }

    async fn bank_accounts(&self, owner: &UserId) -> Result<Vec<BankAccount>, Trouble> {
        const DOING: &str = "read bank accounts";
        let rows = self
            .read(
                DOING,
                "/* bank accounts */ select id, owner, bank, bank_name, iban, provider_account, currency, \
                 provider_consent, consent_expires_at, is_primary from bank_accounts \
                 where owner = $1 order by is_primary desc, id",
                &[owner.as_str().into()],
            )
            .await?;
        each(DOING, rows, bank_account)
    }

    async fn adopt_consent(
        &self,
        owner: &UserId,
        account: &BankAccountId,
        consent: &str,
        valid_until: Option<At>,
        now: At,
    ) -> Result<bool, Trouble> {
        const DOING: &str = "adopt a consent";
        let (owner, account, consent) =
            (Value::from(owner.as_str()), Value::from(account.as_str()), Value::from(consent));
        // No time is after all times.
        let until = Value::from(valid_until.unwrap_or(At::MAX));
        let mut tx = self.begin(DOING).await?;
        // The row of the account is the lock: two adoptions stand one behind the other.
        let there = tx
            .touch(
                "/* lock account */ update bank_accounts set updated_at = $3 where id = $1 and owner = $2",
                &[account.clone(), owner, now.into()],
            )
            .await
            .map_err(lost(DOING))?;
        if there == 0 {
            return Ok(false);
        }
        let first = tx
            .touch(
                "/* remember consent */ insert into consents \
                 (account, consent, status, valid_until, created_at, updated_at) \
                 values ($1, $2, 'valid', case when $3 < $5 then $3 end, $4, $4) \
                 on conflict (account, consent) do nothing",
                &[account.clone(), consent.clone(), until.clone(), now.into(), At::MAX.into()],
            )
            .await
            .map_err(lost(DOING))?;
        // One that was adopted before may have been replaced or ended since; a repetition must not bring it back.
        if first > 0 {
            tx.touch(
                "/* replace consents */ update consents set status = 'replaced', updated_at = $3 \
                 where account = $1 and consent <> $2 and status = 'valid'",
                &[account.clone(), consent.clone(), now.into()],
            )
            .await
            .map_err(lost(DOING))?;
            tx.touch(
                "/* adopt consent */ update bank_accounts set provider_consent = $2, \
                 consent_expires_at = case when $3 < $4 then $3 end where id = $1",
                &[account, consent, until, At::MAX.into()],
            )
            .await
            .map_err(lost(DOING))?;
        }
        finish(DOING, tx).await?;
        Ok(true)
    }

    async fn expire_consent(&self, bank: &BankId, consent: &str, now: At) -> Result<u64, Trouble> {
        const DOING: &str = "mark a consent as expired";
        let (bank, consent, now) = (Value::from(bank.0.as_str()), Value::from(consent), Value::from(now));
        let mut tx = self.begin(DOING).await?;
        let marked = tx
            .touch(
                "/* expire consent */ update bank_accounts set consent_expires_at = $3, updated_at = $3 \
                 where bank = $1 and provider_consent = $2 \
                 and (consent_expires_at is null or consent_expires_at > $3)",
                &[bank.clone(), consent.clone(), now.clone()],
            )
            .await
            .map_err(lost(DOING))?;
        // It is kept with its end, whoever brought it.
        tx.touch(
            "/* end consent */ insert into consents \
             (account, consent, status, valid_until, created_at, updated_at) \
             select id, provider_consent, 'expired', consent_expires_at, $3, $3 from bank_accounts \
             where bank = $1 and provider_consent = $2 \
             on conflict (account, consent) do update set status = excluded.status, \
             updated_at = excluded.updated_at where consents.status <> excluded.status",
            &[bank, consent, now],
        )
        .await
        .map_err(lost(DOING))?;
        finish(DOING, tx).await?;
        Ok(marked)
    }

    async fn put_recipient(&self, recipient: &Recipient, now: At) -> Result<bool, Trouble> {
        const DOING: &str = "store a recipient";
        static PUT: Batched = Batched {
            columns: &[
                Text("id"),
                Text("owner"),
                Text("name"),
                Text("country"),
                Text("town"),
                Text("account"),
                Text("bic"),
                Text("currency"),
                Int("now"),
            ],
            sql: "/* put recipient */ with {d} \
                  insert into recipients \
                  (id, owner, name, country, town, account, bic, currency, created_at, updated_at) \
                  select id, owner, name, country, town, account, bic, currency, now, now from d \
                  where id is not null \
                  on conflict (id) do update set name = excluded.name, country = excluded.country, \
                  town = excluded.town, account = excluded.account, bic = excluded.bic, \
                  currency = excluded.currency, updated_at = excluded.updated_at \
                  where recipients.owner = excluded.owner returning id",
            returning: "",
        };
        let account = serde_json::to_string(&recipient.account)
            .map_err(|source| not_committed(DOING)(source.into()))?;
        let cells = [
            recipient.id.as_str().into(),
            recipient.owner.as_str().into(),
            recipient.name.as_str().into(),
            recipient.country.as_str().into(),
            recipient.town.as_deref().into(),
            account.into(),
            recipient.bic.as_ref().map(Bic::as_str).into(),
            recipient.currency.as_str().into(),
            now.into(),
        ];
        let mut tx = self.begin(DOING).await?;
        let stored = !tx.batch(&PUT, &cells).await.map_err(lost(DOING))?.is_empty();
        finish(DOING, tx).await?;
        Ok(stored)
    }

    async fn recipients(
        &self,
        owner: &UserId,
        after: Option<&RecipientId>,
        limit: usize,
    ) -> Result<Vec<Recipient>, Trouble> {
        const DOING: &str = "read recipients";
        // Every id is above the empty text.
        let after = after.map_or("", RecipientId::as_str);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self
            .read(
                DOING,
                "/* recipients */ select id, owner, name, country, town, account, bic, currency \
                 from recipients where owner = $1 and id > $2 order by id limit $3",
                &[owner.as_str().into(), after.into(), limit.into()],
            )
            .await?;
        each(DOING, rows, recipient)
    }

    async fn recipient(&self, owner: &UserId, id: &RecipientId) -> Result<Option<Recipient>, Trouble> {
        const DOING: &str = "read a recipient";
        let rows = self
            .read(
                DOING,
                "/* recipient */ select id, owner, name, country, town, account, bic, currency \
                 from recipients where owner = $1 and id = $2",
                &[owner.as_str().into(), id.as_str().into()],
            )
            .await?;
        first(DOING, rows, recipient)
    }

    async fn remove_recipient(&self, owner: &UserId, id: &RecipientId) -> Result<bool, Trouble> {
        const DOING: &str = "remove a recipient";
        let removed = self
            .change(
                DOING,
                "/* remove recipient */ delete from recipients where owner = $1 and id = $2",
                &[owner.as_str().into(), id.as_str().into()],
            )
            .await?;
        Ok(removed > 0)
    }

    async fn put_merchant(&self, merchant: &Merchant, now: At) -> Result<(), Trouble> {
        const DOING: &str = "store a merchant";
        static PUT: Batched = Batched {
            columns: &[Text("id"), Text("name"), Text("org_number"), Text("iban"), Text("owner"), Int("now")],
            sql: "/* put merchant */ with {d} \
                  insert into merchants (id, name, org_number, iban, owner, created_at, updated_at) \
                  select id, name, org_number, iban, owner, now, now from d where id is not null \
                  on conflict (id) do update set name = excluded.name, org_number = excluded.org_number, \
                  iban = excluded.iban, owner = excluded.owner, updated_at = excluded.updated_at",
            returning: "",
        };
        let cells = [
            merchant.id.as_str().into(),
            merchant.name.as_str().into(),
            merchant.org_number.as_deref().into(),
            merchant.iban.as_str().into(),
            merchant.owner.as_ref().map(UserId::as_str).into(),
            now.into(),
        ];
        self.put(DOING, &PUT, &cells).await
    }

    async fn merchant(&self, id: &MerchantId) -> Result<Option<Merchant>, Trouble> {
        const DOING: &str = "read a merchant";
        let rows = self
            .read(
                DOING,
                "/* merchant */ select id, name, org_number, iban, owner from merchants where id = $1",
                &[id.as_str().into()],
            )
            .await?;
        first(DOING, rows, merchant)
    }

    async fn put_rates(&self, rates: &[ExchangeRate], now: At) -> Result<(), Trouble> {
        const DOING: &str = "store exchange rates";
        static PUT: Batched = Batched {
            columns: &[Text("source"), Text("target"), Text("rate"), Int("valid_until"), Int("now")],
            sql: "/* put rates */ with {d} \
                  insert into exchange_rates (source, target, rate, valid_until, updated_at) \
                  select source, target, rate, valid_until, now from d \
                  where source is not null order by source, target \
                  on conflict (source, target) do update set rate = excluded.rate, \
                  valid_until = excluded.valid_until, updated_at = excluded.updated_at",
            returning: "",
        };
        // Of a pair that is given twice, the last counts; one statement may not touch a row twice.
        let pairs: std::collections::BTreeMap<_, _> =
            rates.iter().map(|rate| ((rate.from.as_str(), rate.to.as_str()), rate)).collect();
        let cells: Vec<Value> = pairs
            .into_iter()
            .flat_map(|((from, to), rate)| -> [Value; 5] {
                let price = rate.rate.to_string();
                [from.into(), to.into(), price.into(), rate.valid_until.into(), now.into()]
            })
            .collect();
        self.put(DOING, &PUT, &cells).await
    }

    async fn rate(&self, from: Currency, to: Currency) -> Result<Option<ExchangeRate>, Trouble> {
        const DOING: &str = "read an exchange rate";
        let rows = self
            .read(
                DOING,
                "/* rate */ select source, target, rate, valid_until from exchange_rates \
                 where source = $1 and target = $2",
                &[from.as_str().into(), to.as_str().into()],
            )
            .await?;
        first(DOING, rows, rate)
    }

    async fn put_api_key(&self, key: &ApiKey) -> Result<(), Trouble> {
        const DOING: &str = "store an API key";
        static PUT: Batched = Batched {
            columns: &[
                Text("id"),
                Text("secret_hash"),
                Text("subject"),
                Text("role"),
                Int("expires_at"),
                Int("created_at"),
                Int("revoked_at"),
            ],
            sql: "/* put api key */ with {d} \
                  insert into api_keys (id, secret_hash, subject, role, expires_at, created_at, revoked_at) \
                  select id, secret_hash, subject, role, expires_at, created_at, revoked_at from d \
                  where id is not null",
            returning: "",
        };
        let cells = [
            key.id.as_str().into(),
            key.secret_hash.as_str().into(),
            key.subject.as_str().into(),
            key.role.as_str().into(),
            key.expires_at.into(),
            key.created_at.into(),
            key.revoked_at.into(),
        ];
        self.put(DOING, &PUT, &cells).await
    }

    async fn api_key(&self, secret_hash: &str) -> Result<Option<ApiKey>, Trouble> {
        const DOING: &str = "read an API key";
        let rows = self
            .read(
                DOING,
                "/* api key */ select id, secret_hash, subject, role, expires_at, created_at, revoked_at \
                 from api_keys where secret_hash = $1",
                &[secret_hash.into()],
            )
            .await?;
        first(DOING, rows, api_key)
    }

    async fn revoke_api_key(&self, id: &str, now: At) -> Result<bool, Trouble> {
        const DOING: &str = "revoke an API key";
        // The first revocation counts.
        let known = self
            .change(
                DOING,
                "/* revoke api key */ update api_keys set revoked_at = coalesce(revoked_at, $2) where id = $1",
                &[id.into(), now.into()],
            )
            .await?;
        Ok(known > 0)
    }
}

impl<D: Driver> SqlStore<D> {
    pub(super) async fn put(
        &self,
        doing: &'static str,
        put: &'static Batched,
        cells: &[Value],
    ) -> Result<(), Trouble> {
        let mut tx = self.begin(doing).await?;
        tx.batch(put, cells).await.map_err(lost(doing))?;
        finish(doing, tx).await
    }

    pub(super) async fn change(
        &self,
        doing: &'static str,
        sql: &'static str,
        values: &[Value],
    ) -> Result<u64, Trouble> {
        let mut tx = self.begin(doing).await?;
        let touched = tx.touch(sql, values).await.map_err(lost(doing))?;
        finish(doing, tx).await?;
        Ok(touched)
    }
}

fn user(mut row: Row) -> Result<User, Misread> {
    Ok(User {
        id: row.parsed("a user id")?,
        first_name: string(&row.text()?),
        last_name: string(&row.text()?),
        email: row.maybe_text()?.as_deref().map(str::to_owned),
        phone: row.maybe_text()?.as_deref().map(str::to_owned),
        birth_date: row.maybe_parsed("a date")?,
        kyc: KycStatus::parse(&row.text()?).ok_or(Misread { expected: "a KYC status" })?,
    })
}

fn bank_account(mut row: Row) -> Result<BankAccount, Misread> {
    Ok(BankAccount {
        id: row.parsed("a bank account id")?,
        owner: row.parsed("a user id")?,
        bank: BankId(string(&row.text()?)),
        bank_name: string(&row.text()?),
        iban: row.parsed("an IBAN")?,
        provider_account: string(&row.text()?),
        currency: row.parsed("a currency")?,
        provider_consent: row.maybe_text()?.as_deref().map(str::to_owned),
        consent_expires_at: row.maybe_at()?,
        primary: row.truth()?,
    })
}

fn recipient(mut row: Row) -> Result<Recipient, Misread> {
    Ok(Recipient {
        id: row.parsed("a recipient id")?,
        owner: row.parsed("a user id")?,
        name: string(&row.text()?),
        country: string(&row.text()?),
        town: row.maybe_text()?.as_deref().map(str::to_owned),
        account: serde_json::from_str(&row.text()?).map_err(|_| Misread { expected: "an account" })?,
        bic: row.maybe_parsed("a BIC")?,
        currency: row.parsed("a currency")?,
    })
}

fn merchant(mut row: Row) -> Result<Merchant, Misread> {
    Ok(Merchant {
        id: row.parsed("a merchant id")?,
        name: string(&row.text()?),
        org_number: row.maybe_text()?.as_deref().map(str::to_owned),
        iban: row.parsed("an IBAN")?,
        owner: row.maybe_parsed("a user id")?,
    })
}

fn rate(mut row: Row) -> Result<ExchangeRate, Misread> {
    Ok(ExchangeRate {
        from: row.parsed("a currency")?,
        to: row.parsed("a currency")?,
        rate: row.parsed("a rate")?,
        valid_until: row.maybe_at()?,
    })
}

fn api_key(mut row: Row) -> Result<ApiKey, Misread> {
    Ok(ApiKey {
        id: string(&row.text()?),
        secret_hash: string(&row.text()?),
        subject: string(&row.text()?),
        role: string(&row.text()?),
        expires_at: row.maybe_at()?,
        created_at: row.at()?,
        revoked_at: row.maybe_at()?,
    })
}

fn string(text: &Arc<str>) -> String {
    text.as_ref().to_owned()
}
