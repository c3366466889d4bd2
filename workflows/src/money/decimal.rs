//! Decimal notation without a number type: digits as they were written, and half-up division.

/// A decimal number as text: digits before the point and digits after it.
#[derive(Clone, Copy)]
pub(super) struct Decimal<'a> {
    /// Whether a `-` stands in front.
    pub(super) negative: bool,
    /// One or more digits.
    pub(super) whole: &'a str,
    /// The digits after the point; empty when there is no point.
    pub(super) fraction: &'a str,
}

impl<'a> Decimal<'a> {
    /// Reads `-?[0-9]+(\.[0-9]+)?` and nothing else.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (unsigned, ""),
        };
        is_digits(whole).then_some(Self { negative, whole, fraction })
    }

    /// The digits in order, as numbers, with the point left out.
    pub(super) fn digits(self) -> impl Iterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes()).map(|byte| byte - b'0')
    }
}

/// Division rounded to the nearest whole number, a half away from zero. `divisor` is positive.
pub(super) const fn half_up(dividend: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    // Comparing with what is missing to the next whole number cannot overflow, doubling the rest could.
    if rest.abs() >= divisor - rest.abs() { quotient + dividend.signum() } else { quotient }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
