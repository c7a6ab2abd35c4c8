//! What extension headers say of the next member.

/// The attributes of a member that are used.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    /// That it is sparse, and its name if that is not its path.
    pub sparse: Option<Option<Vec<u8>>>,
}

impl Attributes {
    /// Takes the records of a PAX header.
    pub(super) fn take(&mut self, data: &[u8]) {
        for (key, value) in records(data) {
            match key {
                b"path" => self.path = Some(value.to_owned()),
                b"linkpath" => self.link = Some(value.to_owned()),
                b"size" => {
                    let text = std::str::from_utf8(value).ok();
                    self.size = text.and_then(|size| size.parse().ok());
                }
                b"GNU.sparse.name" => self.sparse = Some(Some(value.to_owned())),
                _ if key.starts_with(b"GNU.sparse.") => drop(self.sparse.get_or_insert_default()),
                _ => {}
            }
        }
    }
}

/// Key and value of each record `LENGTH KEY=VALUE\n`, up to the first that is none. Values may hold
/// line feeds.
fn records(data: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let space = rest.iter().position(|&byte| byte == b' ')?;
        let len: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
        let record = rest.get(space + 1..len)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|&byte| byte == b'=')?;
        rest = &rest[len..];
        Some((&record[..equals], &record[equals + 1..]))
    })
}

/// What is in front of the first zero.
pub(super) fn until_zero(mut data: Vec<u8>) -> Vec<u8> {
    let zero = data.iter().position(|&byte| byte == 0);
    data.truncate(zero.unwrap_or(data.len()));
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_as_long_as_they_say() {
        let mut attributes = Attributes::default();
        attributes
            .take(b"16 path=a\nb.jpg\n20 comment=a=b c=\n\n12 size=77\n19 hdrcharset=BINARY\n");
        // The last one lies about its length: it is not used, and ends nothing else.
        assert_eq!(attributes.path.as_deref(), Some(&b"a\nb.jpg"[..]));
        assert_eq!(attributes.size, None);
        attributes.take(b"11 size=77\n");
        assert_eq!(attributes.size, Some(77));
        attributes.take(b"22 GNU.sparse.major=1\n29 GNU.sparse.name=real.jpg\n");
        assert_eq!(attributes.sparse, Some(None));
        attributes.take(b"28 GNU.sparse.name=real.jpg\n");
        assert_eq!(attributes.sparse, Some(Some(b"real.jpg".to_vec())));
        for damaged in [
            &b"9999999999999999999999 a=b\n"[..],
            b"3 a=b\n",
            b"x",
            b"",
            b"1 \n",
        ] {
            assert_eq!(records(damaged).count(), 0);
        }
    }
}
