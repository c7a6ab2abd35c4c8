//! Names of archives and of their parts.
//!
//! A part is called like its archive with `.`, `-` or `_`, the word `part` and a number or letters
//! after it, of which all but the number or the letters may be missing: what `split` makes, and
//! what data sets are shipped as. `split` counts in decimal, hexadecimal or letters of a fixed
//! length, or lengthens them on the way: `ay`, `az`, … `yz`, `zaaa`; `89`, `9000`; `ef`, `f000`.

use host::file_name::is_hidden;

/// Endings of archives that are read, in lower case.
const ENDINGS: [&str; 6] = [".tar", ".zip", ".tar.gz", ".tgz", ".tar.zst", ".tzst"];

/// Endings of archives that are not, and what unpacks them.
const COMPRESSED: [(&str, &str); 13] = [
    (".tar.bz2", "bunzip2 -k"),
    (".tbz2", "bunzip2 -k"),
    (".tbz", "bunzip2 -k"),
    (".tar.xz", "xz -dk"),
    (".txz", "xz -dk"),
    (".tar.lz4", "lz4 -dk"),
    (".tar.lz", "lzip -dk"),
    (".tar.lzma", "xz -dk"),
    (".tlz", "lzip -dk"),
    (".tar.z", "gzip -dk"),
    (".tar.br", "brotli -dk"),
    (".7z", "7z x"),
    (".rar", "unrar x"),
];

/// What `split --additional-suffix` is told, usually.
const ADDITIONS: [&str; 5] = [".part", ".bin", ".dat", ".split", ".chunk"];

/// Longer counters are none.
const MAX_COUNTER_BYTES: usize = 10;

/// Whether `name` is that of an archive, a compressed one included, or of a part of one.
pub(crate) fn has_archive_name(name: &str) -> bool {
    let is_archive = ending_at(name) == Some(name.len()) || unpacked_by(name).is_some();
    !is_hidden(name) && (is_archive || Part::parse(name).is_some())
}

/// The name of an archive without its ending, if it is one.
pub(crate) fn stem(name: &str) -> Option<&str> {
    let lower = name.to_ascii_lowercase();
    let endings = ENDINGS.iter().filter(|ending| lower.ends_with(*ending));
    let longest = endings.map(|ending| ending.len()).max()?;
    Some(&name[..name.len() - longest])
}

/// Whether the member `path` is a tar inside a tar that is entered.
pub(super) fn is_inner_tar(path: &str) -> bool {
    let is_waste = |name: &str| is_hidden(name) || name == "__MACOSX";
    let ending = path
        .len()
        .checked_sub(4)
        .and_then(|start| path.get(start..));
    let is_tar = ending.is_some_and(|ending| ending.eq_ignore_ascii_case(".tar"));
    is_tar && !path.split('/').any(is_waste)
}

/// Ending of an archive that is not read, and the command that unpacks it.
pub(super) fn unpacked_by(name: &str) -> Option<(&'static str, &'static str)> {
    let lower = name.to_ascii_lowercase();
    let mut known = COMPRESSED.into_iter();
    known.find(|(ending, _)| lower.ends_with(ending))
}

/// Where the last ending of an archive in `name` ends.
fn ending_at(name: &str) -> Option<usize> {
    let lower = name.to_ascii_lowercase();
    ENDINGS
        .iter()
        .filter_map(|ending| Some(lower.rfind(ending)? + ending.len()))
        .max()
}

/// What the name of a part says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// Name of the archive.
    pub whole: &'a str,
    /// All in front of the number.
    pub prefix: &'a str,
    /// The number, or the letters.
    pub counter: &'a str,
    /// All behind it.
    pub addition: &'a str,
}

impl<'a> Part<'a> {
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        const SEPARATORS: [char; 3] = ['.', '-', '_'];
        let end = ending_at(name)?;
        let addition = ADDITIONS
            .iter()
            .find(|addition| name[end..].ends_with(*addition) && name.len() - end > addition.len());
        let counted = &name[..name.len() - addition.map_or(0, |addition| addition.len())];
        let suffix = counted[end..].trim_start_matches(SEPARATORS);
        let counter = suffix
            .strip_prefix("part")
            .unwrap_or(suffix)
            .trim_start_matches(SEPARATORS);
        let is_archive = end == name.len() || unpacked_by(name).is_some();
        let is_counter = (1..=MAX_COUNTER_BYTES).contains(&counter.len())
            && (is_of(counter, is_digit) || is_of(counter, is_letter) || is_of(counter, is_hex));
        (is_counter && !is_archive).then(|| Self {
            whole: &name[..end],
            prefix: &counted[..counted.len() - counter.len()],
            counter,
            addition: &name[counted.len()..],
        })
    }

    /// The same of a name that an archive may have, too: `split` calls its 182nd part `x.tar.gz`.
    pub(super) fn parse_like_archive(name: &'a str) -> Option<Self> {
        let (start, counter) = name.rsplit_once('.')?;
        let is_letters = (1..=2).contains(&counter.len()) && is_of(counter, is_letter);
        let is_part = is_letters && start.to_ascii_lowercase().ends_with(".tar");
        is_part.then(|| Self {
            whole: start,
            prefix: &name[..=start.len()],
            counter,
            addition: "",
        })
    }

    /// Whether only a hexadecimal number has such a counter.
    fn is_mixed(&self) -> bool {
        !is_of(self.counter, is_digit) && !is_of(self.counter, is_letter)
    }
}

fn is_of(counter: &str, kind: fn(u8) -> bool) -> bool {
    counter.bytes().all(kind)
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_lowercase()
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// How the parts of an archive are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counting {
    /// By numbers of whatever length.
    Numbers,
    /// By numbers as `split` lengthens them.
    LengthenedNumbers,
    /// By this many hexadecimal digits, or by two that are lengthened.
    Hex(usize),
    /// By letters, likewise.
    Letters(usize),
}

impl Counting {
    /// How each of the parts is counted that have all but the counter in common.
    pub(super) fn of(parts: &[Part<'_>]) -> Vec<Self> {
        let widths: Vec<usize> = parts
            .iter()
            .filter(|part| part.is_mixed())
            .map(|part| width(part.counter, b'f'))
            .collect();
        let is_in_hex = |part: &Part<'_>| {
            is_of(part.counter, is_hex) && widths.contains(&width(part.counter, b'f'))
        };
        let numbers = || {
            let numbers = parts.iter().filter(|part| !is_in_hex(part));
            numbers.filter(|part| is_of(part.counter, is_digit))
        };
        let is_lengthened = numbers().any(|part| part.counter.len() > 2)
            && numbers().any(|part| part.counter.len() == 2)
            && numbers().all(|part| width(part.counter, b'9') == 2);
        let numbers = match is_lengthened {
            true => Self::LengthenedNumbers,
            false => Self::Numbers,
        };
        let of = |part: &Part<'_>| match () {
            () if is_in_hex(part) => Self::Hex(width(part.counter, b'f')),
            () if is_of(part.counter, is_digit) => numbers,
            () => Self::Letters(width(part.counter, b'z')),
        };
        parts.iter().map(of).collect()
    }

    fn base(self) -> u64 {
        match self {
            Self::Numbers | Self::LengthenedNumbers => 10,
            Self::Hex(_) => 16,
            Self::Letters(_) => 26,
        }
    }

    fn is_lengthened(self) -> bool {
        matches!(
            self,
            Self::LengthenedNumbers | Self::Hex(2) | Self::Letters(2)
        )
    }

    /// How often `counter` was lengthened.
    fn level(self, counter: &str) -> usize {
        match self.is_lengthened() {
            true => counter.len().saturating_sub(2) / 2,
            false => 0,
        }
    }

    /// How many parts are counted before `counter` is lengthened for the `level`-th time.
    fn before(self, level: usize) -> u64 {
        let base = self.base();
        (0..level)
            .map(|level| (base - 1) * base.pow(level as u32 + 1))
            .sum()
    }

    /// The number of the part with `counter`.
    pub(super) fn number(self, counter: &str) -> u64 {
        let level = self.level(counter);
        let value = counter.bytes().skip(level).fold(0, |number: u64, byte| {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                _ if self.base() == 16 => byte - b'a' + 10,
                _ => byte - b'a',
            };
            number * self.base() + u64::from(digit)
        });
        self.before(level) + value
    }

    /// Whether a part may be the first one.
    pub(super) fn is_first(self, number: u64) -> bool {
        number == 0 || (number == 1 && !matches!(self, Self::Letters(_)))
    }

    /// The counter in front of `counter`.
    pub(super) fn counter_before(self, counter: &str) -> String {
        let number = self.number(counter).saturating_sub(1);
        let mut level = self.level(counter);
        let mut width = counter.len() - level;
        if level > 0 && number < self.before(level) {
            (level, width) = (level - 1, width - 1);
        }
        let mut left = number.saturating_sub(self.before(level));
        let mut digits = vec![0; width];
        for digit in digits.iter_mut().rev() {
            *digit = left % self.base();
            left /= self.base();
        }
        let last = std::iter::repeat_n(self.base() - 1, level);
        last.chain(digits).map(|digit| self.digit(digit)).collect()
    }

    fn digit(self, digit: u64) -> char {
        let first = match self {
            Self::Letters(_) => b'a',
            _ if digit < 10 => b'0',
            _ => b'a' - 10,
        };
        char::from(first + digit as u8)
    }
}

/// How long `counter` was in the beginning, if `last` is the last digit.
fn width(counter: &str, last: u8) -> usize {
    let len = counter.len();
    let level = len.saturating_sub(2) / 2;
    let bytes = counter.as_bytes();
    let is_lengthened = len >= 4
        && len.is_multiple_of(2)
        && bytes[..level].iter().all(|&byte| byte == last)
        && bytes[level] != last;
    if is_lengthened { 2 } else { len }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_and_parts_are_told_from_other_files() {
        for name in [
            "x.tar",
            "x.ZIP",
            "x.tgz",
            "x.tar.gz",
            "x.tar.zst",
            "x.TZST",
            "x.tar.part00",
            "x.tar.aa",
            "x.tar.a",
            "x.tgz.aaaaaaaaaa",
            "x.tar.gz.0f",
            "x.zip.001.bin",
            "x.tar.xz",
            "x.7z",
            "x.rar",
        ] {
            assert!(has_archive_name(name), "{name}");
        }
        for name in [
            "x.jpg",
            ".x.tar",
            "tar",
            "x.gz",
            "x.tar.part",
            "x.tar.sha256",
            "x.tar.part00.md5",
            "x.tar.aa.sig",
            "x.tar.0A",
        ] {
            assert!(!has_archive_name(name), "{name}");
        }
        for (name, expected) in [
            ("a.b.tar", Some("a.b")),
            ("a.TAR.GZ", Some("a")),
            ("a.tgz", Some("a")),
            ("a.gz", None),
            ("a", None),
        ] {
            assert_eq!(stem(name), expected, "{name}");
        }
    }

    fn counted(counters: &[&str]) -> Vec<(Counting, u64)> {
        let names: Vec<String> = counters
            .iter()
            .map(|part| format!("x.tar.{part}"))
            .collect();
        let parts: Vec<Part<'_>> = names
            .iter()
            .map(|name| {
                Part::parse(name)
                    .or_else(|| Part::parse_like_archive(name))
                    .unwrap()
            })
            .collect();
        let counting = Counting::of(&parts).into_iter();
        counting
            .zip(counters)
            .map(|(counting, counter)| (counting, counting.number(counter)))
            .collect()
    }

    #[test]
    fn counters_are_lengthened_as_split_does() {
        let (letters, hex) = (Counting::Letters(2), Counting::Hex(2));
        let numbers = Counting::LengthenedNumbers;
        assert_eq!(
            counted(&["aa", "yz", "zaaa", "zyzz", "zzaaaa"]),
            [0, 649, 650, 17_549, 17_550].map(|number| (letters, number))
        );
        assert_eq!(
            counted(&["00", "89", "9000", "9899", "990000"]),
            [0, 89, 90, 989, 990].map(|number| (numbers, number))
        );
        assert_eq!(
            counted(&["00", "0a", "aa", "ef", "f000", "feff"]),
            [0, 10, 170, 239, 240, 4_079].map(|number| (hex, number))
        );
        for counters in [
            ["yz", "zaaa"],
            ["zyzz", "zzaaaa"],
            ["ab", "ac"],
            ["za", "zb"],
        ] {
            assert_eq!(letters.counter_before(counters[1]), counters[0]);
        }
        for counters in [["89", "9000"], ["9899", "990000"], ["08", "09"]] {
            assert_eq!(numbers.counter_before(counters[1]), counters[0]);
        }
        assert_eq!(hex.counter_before("f000"), "ef");
    }

    #[test]
    fn other_counters_are_what_they_look_like() {
        assert_eq!(
            counted(&["98", "99", "100", "9000"]),
            [98, 99, 100, 9000].map(|number| (Counting::Numbers, number))
        );
        assert_eq!(
            counted(&["a", "z"]),
            [0, 25].map(|number| (Counting::Letters(1), number))
        );
        assert_eq!(
            counted(&["aaa", "zzz", "log"])
                .iter()
                .map(|part| part.1)
                .collect::<Vec<_>>(),
            [0, 17_575, 7_806]
        );
        assert_eq!(counted(&["aaaa", "aaab"])[1], (Counting::Letters(4), 1));
        assert_eq!(counted(&["aa", "log"])[1].0, Counting::Letters(3));
        assert_eq!(Counting::Numbers.counter_before("10"), "09");
    }
}
