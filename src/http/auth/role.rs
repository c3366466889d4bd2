//! What callers may do.

use std::str::FromStr;

use workflows::ids::{MerchantId, UserId};

/// The longest name of a program or operator, in characters.
const LONGEST_NAME: usize = 128;

/// What a caller may do (FE-13, rest-api §1 and §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Pays from their own accounts.
    User,
    /// Is paid.
    Merchant,
    /// The app's own backend.
    Service,
    /// Reads everything.
    Viewer,
    /// Acts.
    Operator,
    /// Is the second pair of eyes.
    Approver,
    /// Manages keys and settings.
    Admin,
}

impl Role {
    /// Every role with its word.
    pub const ALL: [(&str, Role); 7] = [
        ("user", Role::User),
        ("merchant", Role::Merchant),
        ("service", Role::Service),
        ("viewer", Role::Viewer),
        ("operator", Role::Operator),
        ("approver", Role::Approver),
        ("admin", Role::Admin),
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Merchant => "merchant",
            Role::Service => "service",
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Approver => "approver",
            Role::Admin => "admin",
        }
    }

    /// Whether somebody of this name can have the role: users are named by their id, shops by theirs or their
    /// owner's. A name goes into histories and start keys: it is short, and without control characters, of which
    /// PostgreSQL refuses NUL together with everything that is written at the same time.
    pub fn suits(self, subject: &str) -> bool {
        let is_user = subject.parse::<UserId>().is_ok();
        match self {
            Role::User => is_user,
            Role::Merchant => is_user || subject.parse::<MerchantId>().is_ok(),
            Role::Service | Role::Viewer | Role::Operator | Role::Approver | Role::Admin => {
                !subject.trim().is_empty()
                    && subject.chars().count() <= LONGEST_NAME
                    && !subject.chars().any(char::is_control)
            }
        }
    }

    /// What [`Role::suits`] asks for, for people.
    pub fn subject_form(self) -> &'static str {
        match self {
            Role::User => "a usr_ id",
            Role::Merchant => "a mer_ or usr_ id",
            Role::Service | Role::Viewer | Role::Operator | Role::Approver | Role::Admin => {
                "a name of at most 128 characters, none of them a control character"
            }
        }
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|(known, _)| *known == word);
        known
            .map(|(_, role)| role)
            .ok_or("must be user, merchant, service, viewer, operator, approver or admin")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_reads_back() {
        for (word, role) in Role::ALL {
            assert_eq!((word.parse(), role.word()), (Ok(role), word));
        }
    }
}
