//! The product's own tables.

use std::sync::Arc;

use workers::balances::End;
use workers::registry::{ApiKey, BankAccount, ExchangeRate, KycStatus, Merchant, Recipient, Registry, User};
use workflows::accounts::{Bban, Country, Iban};
use workflows::ids::{BankAccountId, MerchantId, RecipientId, UserId};
use workflows::money::{Currency, Rate};
use workflows::ports::payments::{BankId, CreditorAccount};

use crate::balances;
use crate::made::{T0, TICK};
use crate::subject::Subject;

pub async fn users_and_merchants_are_stored_and_replaced(on: &Subject) {
    let registry = registry(on);
    assert!(registry.user(&user_id("ola")).await.unwrap().is_none());
    for kyc in KycStatus::ALL {
        let bare = User { email: None, phone: None, birth_date: None, kyc, ..ola() };
        for user in [User { kyc, ..ola() }, bare] {
            registry.put_user(&user, T0).await.unwrap();
            assert!(registry.user(&user.id).await.unwrap() == Some(user), "{kyc:?}");
        }
    }
    let shop = Merchant {
        id: MerchantId::new(1),
        name: "Kaffe \"& Sånn\"; drop table users".to_owned(),
        org_number: Some("923609016".to_owned()),
        iban: iban(),
        owner: Some(user_id("ola")),
    };
    for shop in [shop.clone(), Merchant { org_number: None, owner: None, ..shop }] {
        registry.put_merchant(&shop, T0).await.unwrap();
        assert_eq!(registry.merchant(&shop.id).await.unwrap(), Some(shop));
    }
    assert_eq!(registry.merchant(&MerchantId::new(2)).await.unwrap(), None);
}

pub async fn one_bank_account_of_a_user_is_primary(on: &Subject) {
    let registry = registry(on);
    let accounts = async || registry.bank_accounts(&user_id("ola")).await.unwrap();
    let (one, two) = (account(1, true), account(2, true));
    let bare = BankAccount { provider_consent: None, consent_expires_at: None, ..account(3, false) };
    for account in [&one, &two, &bare] {
        assert!(registry.put_bank_account(account, T0).await.unwrap());
    }
    let others = BankAccount { owner: user_id("kari"), ..account(4, true) };
    assert!(registry.put_bank_account(&others, T0).await.unwrap());

    let one_secondary = BankAccount { primary: false, ..one.clone() };
    assert!(accounts().await == [two.clone(), one_secondary, bare.clone()], "primary first, then by id");
    assert!(registry.put_bank_account(&one, T0).await.unwrap());
    assert!(accounts().await == [one.clone(), BankAccount { primary: false, ..two }, bare]);

    // Somebody else's id is refused, and changes nothing of theirs or of the caller's.
    let stolen = BankAccount { bank_name: "Mine".to_owned(), ..account(4, true) };
    assert!(!registry.put_bank_account(&stolen, T0).await.unwrap());
    assert!(accounts().await[0] == one);
    assert!(registry.bank_accounts(&user_id("kari")).await.unwrap() == [others]);
}

pub async fn a_consent_is_adopted_once_and_kept_when_it_ends(on: &Subject) {
    let registry = registry(on);
    let ola = user_id("ola");
    let stored = async || registry.bank_accounts(&ola).await.unwrap().remove(0);
    assert!(registry.put_bank_account(&account(1, true), T0).await.unwrap());
    let (id, until) = (account(1, true).id, T0.plus(TICK * 50));
    let adopt = async |owner: &str, consent: &str, until| {
        registry.adopt_consent(&user_id(owner), &id, consent, until, T0).await.unwrap()
    };
    assert!(!adopt("kari", "c1", None).await, "the account is somebody else's");
    assert!(stored().await == account(1, true));

    for (consent, until) in [("c1", Some(until)), ("c1", Some(until)), ("c2", None)] {
        assert!(adopt("ola", consent, until).await);
        let account = stored().await;
        assert_eq!(account.provider_consent.as_deref(), Some(consent));
        assert_eq!(account.consent_expires_at, until);
    }
    assert!(adopt("ola", "c1", Some(until)).await, "a late repetition");
    assert_eq!(stored().await.provider_consent.as_deref(), Some("c2"), "brings nothing back");

    let bank = BankId("dnb".to_owned());
    let expire = async |consent: &str, after| {
        registry.expire_consent(&bank, consent, T0.plus(TICK * after)).await.unwrap()
    };
    assert_eq!(expire("c1", 1).await, 0, "it is no account's any more");
    assert_eq!(stored().await.consent_expires_at, None);
    for (after, marked) in [(2, 1), (3, 0)] {
        assert_eq!(expire("c2", after).await, marked);
        let account = stored().await;
        assert_eq!(account.provider_consent.as_deref(), Some("c2"), "it is kept");
        assert_eq!(account.consent_expires_at, Some(T0.plus(TICK * 2)), "and so is its end");
    }
}

pub async fn a_bank_account_keeps_its_balance_until_it_is_another(on: &Subject) {
    let registry = registry(on);
    let kept = async |account: &BankAccount| {
        assert!(registry.put_bank_account(account, T0).await.unwrap());
        on.balances.balance(&balances::holding(account)).await.unwrap().entry
    };
    let one = account(1, true);
    assert_eq!(kept(&one).await, None);
    let entry = balances::entry(12_345, T0);
    balances::read(on, &balances::holding(&one), End::Told(entry)).await;
    let renamed = BankAccount { bank_name: "The bank".to_owned(), primary: false, ..one.clone() };
    assert_eq!(kept(&renamed).await, Some(entry));
    let renewed = BankAccount { provider_consent: Some("c9".to_owned()), ..one.clone() };
    assert_eq!(kept(&renewed).await, Some(entry), "the money does not change with the consent");
    let another = BankAccount { provider_account: "acc-9".to_owned(), ..one.clone() };
    assert_eq!(kept(&another).await, None);
    assert_eq!(kept(&one).await, None, "nor does it come back");
}

pub async fn recipients_are_paged_by_id_and_kept_apart_by_owner(on: &Subject) {
    let registry = registry(on);
    let owner = user_id("ola");
    // Capitals before small letters, as bytes compare: alike on every database.
    let ids = ["rec_B", "rec_a", "rec_a-b", "rec_a_b", "rec_b"].map(|id| id.parse::<RecipientId>().unwrap());
    for id in ids.iter().rev() {
        assert!(registry.put_recipient(&recipient(id), T0).await.unwrap());
    }
    let page = async |after: Option<&RecipientId>, limit| {
        let page = registry.recipients(&owner, after, limit).await.unwrap();
        page.into_iter().map(|recipient| recipient.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 10).await, ids);
    assert_eq!(page(None, 2).await, ids[..2]);
    assert_eq!(page(Some(&ids[1]), 2).await, ids[2..4]);

    let country: Country = "GB".parse().unwrap();
    let abroad = Recipient {
        account: CreditorAccount::Bban(Bban::parse(country, "NWBK60161331926819").unwrap()),
        bic: None,
        town: None,
        ..recipient(&ids[0])
    };
    assert!(registry.put_recipient(&abroad, T0).await.unwrap());
    assert!(registry.recipient(&owner, &ids[0]).await.unwrap() == Some(abroad));
    assert!(registry.recipient(&owner, &ids[1]).await.unwrap() == Some(recipient(&ids[1])));

    let stranger = user_id("kari");
    let stolen = Recipient { owner: stranger.clone(), ..recipient(&ids[1]) };
    assert!(!registry.put_recipient(&stolen, T0).await.unwrap());
    assert!(registry.recipient(&stranger, &ids[1]).await.unwrap().is_none());
    assert!(!registry.remove_recipient(&stranger, &ids[1]).await.unwrap());
    assert!(registry.remove_recipient(&owner, &ids[1]).await.unwrap());
    assert!(!registry.remove_recipient(&owner, &ids[1]).await.unwrap());
    assert!(registry.recipient(&owner, &ids[1]).await.unwrap().is_none());
}

pub async fn rates_are_replaced_by_pair(on: &Subject) {
    let registry = registry(on);
    let rate = |to, price: &str| ExchangeRate {
        from: Currency::EUR,
        to,
        rate: Rate::parse(price).unwrap(),
        valid_until: Some(T0.plus(TICK)),
    };
    let (nok, sek) = (rate(Currency::NOK, "11.7325"), rate(Currency::SEK, "11.02"));
    registry.put_rates(&[nok.clone(), sek.clone()], T0).await.unwrap();
    let twice = [rate(Currency::NOK, "1"), ExchangeRate { valid_until: None, ..rate(Currency::NOK, "12") }];
    registry.put_rates(&twice, T0).await.unwrap();
    registry.put_rates(&[], T0).await.unwrap();
    assert_eq!(registry.rate(Currency::EUR, Currency::NOK).await.unwrap().as_ref(), Some(&twice[1]));
    assert_eq!(registry.rate(Currency::EUR, Currency::SEK).await.unwrap(), Some(sek));
    assert_eq!(registry.rate(Currency::NOK, Currency::EUR).await.unwrap(), None);
}

pub async fn an_api_key_is_found_by_its_hash_and_revoked_once(on: &Subject) {
    let registry = registry(on);
    let key = ApiKey {
        id: "key_1".to_owned(),
        secret_hash: "ab".repeat(32),
        subject: "shop".to_owned(),
        role: "merchant".to_owned(),
        expires_at: Some(T0.plus(TICK * 9)),
        created_at: T0,
        revoked_at: None,
    };
    registry.put_api_key(&key).await.unwrap();
    assert_eq!(registry.api_key(&key.secret_hash).await.unwrap().as_ref(), Some(&key));
    assert_eq!(registry.api_key("cd").await.unwrap(), None);
    let same_secret = ApiKey { id: "key_2".to_owned(), ..key.clone() };
    registry.put_api_key(&same_secret).await.unwrap_err();

    for later in [TICK, TICK * 2] {
        assert!(registry.revoke_api_key("key_1", T0.plus(later)).await.unwrap());
        let revoked = registry.api_key(&key.secret_hash).await.unwrap().unwrap();
        assert_eq!(revoked.revoked_at, Some(T0.plus(TICK)), "the first revocation counts");
    }
    assert!(!registry.revoke_api_key("key_2", T0).await.unwrap());
}

fn registry(on: &Subject) -> Arc<dyn Registry> {
    Arc::clone(&on.database.as_ref().expect("a database").registry)
}

fn user_id(name: &str) -> UserId {
    format!("usr_{name}").parse().unwrap()
}

fn iban() -> Iban {
    "NO9386011117947".parse().unwrap()
}

fn ola() -> User {
    User {
        id: user_id("ola"),
        first_name: "Ola".to_owned(),
        last_name: "Nordmann".to_owned(),
        email: Some("ola@example.no".to_owned()),
        phone: Some("+4790000000".to_owned()),
        birth_date: "1990-02-28".parse().ok(),
        kyc: KycStatus::Approved,
    }
}

fn account(n: u128, primary: bool) -> BankAccount {
    BankAccount {
        id: BankAccountId::new(n),
        owner: user_id("ola"),
        bank: BankId("dnb".to_owned()),
        bank_name: "DNB".to_owned(),
        iban: iban(),
        provider_account: "acct".to_owned(),
        currency: Currency::NOK,
        provider_consent: Some("consent".to_owned()),
        consent_expires_at: Some(T0.plus(TICK)),
        primary,
    }
}

fn recipient(id: &RecipientId) -> Recipient {
    Recipient {
        id: id.clone(),
        owner: user_id("ola"),
        name: "Erika Mustermann".to_owned(),
        country: "DE".to_owned(),
        town: Some("Köln".to_owned()),
        account: CreditorAccount::Iban("DE89370400440532013000".parse().unwrap()),
        bic: Some("COBADEFFXXX".parse().unwrap()),
        currency: Currency::EUR,
    }
}
