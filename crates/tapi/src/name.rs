//! Open sets of names: an enum of the names this version knows, and room for those it does not.
//!
//! TAPI used bit masks, and ran out of bits. On our wire every mode, flag and feature is a name; a name that a newer
//! peer uses is kept as it came, so that it can be shown and passed on.

/// Defines an open set of names with its serde, `Display` and `From<&str>`.
#[macro_export]
macro_rules! open_names {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $($(#[$vmeta])* $variant,)*
            /// A name that this version does not know, kept as it came.
            Other(Box<str>),
        }

        impl $name {
            /// Every name that this version knows.
            pub const KNOWN: &'static [$name] = &[$($name::$variant),*];

            /// The name as it stands on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $text,)*
                    $name::Other(name) => name,
                }
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                match name {
                    $($text => $name::$variant,)*
                    other => $name::Other(other.into()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a name of ", stringify!($name)))
                    }
                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<$name, E> {
                        Ok($name::from(name))
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

/// A set of names, in the order of their definition.
pub type Names<T> = std::collections::BTreeSet<T>;

#[cfg(test)]
mod tests {
    use crate::{DisconnectMode, Feature};

    #[test]
    fn a_known_name_round_trips_and_an_unknown_one_is_kept() {
        for feature in Feature::KNOWN {
            let json = serde_json::to_string(feature).unwrap();
            assert_eq!(&serde_json::from_str::<Feature>(&json).unwrap(), feature);
        }
        let newer: DisconnectMode = serde_json::from_str("\"eaten-by-grue\"").unwrap();
        assert_eq!(newer, DisconnectMode::Other("eaten-by-grue".into()));
        assert_eq!(serde_json::to_string(&newer).unwrap(), "\"eaten-by-grue\"");
    }
}
