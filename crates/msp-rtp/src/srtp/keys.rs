//! Session keys of one master key (RFC 3711 section 4.3), and what they do to a packet.

use super::RTCP_HEADER;
use aes::cipher::{BlockEncrypt, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use aes::{Aes128, Aes256};
use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes128Gcm, Aes256Gcm, Nonce, Tag};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use tspi::media::SrtpSuite;

/// Length of a GCM tag.
const GCM_TAG: usize = 16;
/// Length of the SRTCP index word.
const WORD: usize = 4;
/// Tag of SRTCP, whatever SRTP's is (RFC 3711 section 5.2, RFC 4568 section 6.2).
const RTCP_TAG: usize = 10;
/// The most that is added to a packet.
pub(super) const MAX_TRAILER: usize = GCM_TAG + WORD;
/// Labels of the key derivation; those of SRTCP come after those of SRTP.
const LABEL_KEY: u8 = 0;
const LABEL_AUTH: u8 = 1;
const LABEL_SALT: u8 = 2;
const LABEL_RTCP: u8 = 3;

#[allow(clippy::large_enum_variant, reason = "one a session, in a box")]
#[derive(Clone)]
enum Aes {
    Bits128(Aes128),
    Bits256(Aes256),
}

impl Aes {
    fn new(key: &[u8]) -> Option<Aes> {
        match key.len() {
            16 => Aes128::new_from_slice(key).ok().map(Aes::Bits128),
            32 => Aes256::new_from_slice(key).ok().map(Aes::Bits256),
            _ => None,
        }
    }

    /// Counter mode (RFC 3711 section 4.1.1).
    fn counter(&self, iv: [u8; 16], bytes: &mut [u8]) {
        fn run<C>(cipher: &C, iv: [u8; 16], bytes: &mut [u8])
        where
            C: BlockEncrypt
                + aes::cipher::BlockCipher
                + aes::cipher::BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
        {
            let core: CtrCore<&C, Ctr128BE> = CtrCore::inner_iv_init(cipher, &iv.into());
            StreamCipherCoreWrapper::from_core(core).apply_keystream(bytes);
        }
        match self {
            Aes::Bits128(cipher) => run(cipher, iv, bytes),
            Aes::Bits256(cipher) => run(cipher, iv, bytes),
        }
    }
}

#[allow(clippy::large_enum_variant, reason = "one a session, in a box")]
#[derive(Clone)]
enum Transform {
    Counter { aes: Aes, salt: [u8; 14], auth: Hmac<Sha1>, tag: usize },
    Gcm128 { gcm: Aes128Gcm, salt: [u8; 12] },
    Gcm256 { gcm: Aes256Gcm, salt: [u8; 12] },
}

/// Session keys. They print as nothing.
#[derive(Clone)]
pub(super) struct Keys {
    rtp: Transform,
    rtcp: Transform,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    pub(super) fn new(suite: &SrtpSuite, master: &[u8]) -> Option<Keys> {
        let (key, salt) = suite.key_and_salt()?;
        if master.len() != key + salt {
            return None;
        }
        let (key, salt) = master.split_at(key);
        let rtp = Transform::new(suite, key, salt, 0, rtp_tag(suite))?;
        let rtcp = Transform::new(suite, key, salt, LABEL_RTCP, RTCP_TAG)?;
        Some(Keys { rtp, rtcp })
    }

    pub(super) fn rtp_trailer(&self) -> usize {
        self.rtp.tag()
    }

    pub(super) fn rtcp_trailer(&self) -> usize {
        self.rtcp.tag() + WORD
    }

    /// `room` is the packet with room for the tag after `length` octets.
    pub(super) fn seal_rtp(&self, room: &mut [u8], header: usize, length: usize, ssrc: u32, index: u64) {
        let (packet, trailer) = room.split_at_mut(length);
        match &self.rtp {
            Transform::Counter { aes, salt, auth, .. } => {
                aes.counter(counter_iv(salt, ssrc, index), &mut packet[header..]);
                trailer.copy_from_slice(&rtp_mac(auth, packet, index)[..trailer.len()]);
            }
            gcm => {
                let (aad, text) = packet.split_at_mut(header);
                trailer.copy_from_slice(&gcm.seal(rtp_nonce(ssrc, index), aad, text));
            }
        }
    }

    /// The length without the tag; `None`, and nothing is changed, where the tag is wrong.
    pub(super) fn open_rtp(&self, bytes: &mut [u8], header: usize, ssrc: u32, index: u64) -> Option<usize> {
        let length = bytes.len().checked_sub(self.rtp.tag()).filter(|length| *length >= header)?;
        let (packet, tag) = bytes.split_at_mut(length);
        match &self.rtp {
            Transform::Counter { aes, salt, auth, .. } => {
                if !equal(&rtp_mac(auth, packet, index)[..tag.len()], tag) {
                    return None;
                }
                aes.counter(counter_iv(salt, ssrc, index), &mut packet[header..]);
            }
            gcm => {
                let (aad, text) = packet.split_at_mut(header);
                gcm.open(rtp_nonce(ssrc, index), aad, text, tag)?;
            }
        }
        Some(length)
    }

    /// The word that holds the index.
    pub(super) fn rtcp_word(&self, bytes: &[u8]) -> Option<u32> {
        if bytes.len() < RTCP_HEADER + self.rtcp_trailer() {
            return None;
        }
        let at = match &self.rtcp {
            Transform::Counter { tag, .. } => bytes.len() - WORD - tag,
            _ => bytes.len() - WORD,
        };
        bytes.get(at..at + WORD)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(super) fn seal_rtcp(&self, room: &mut [u8], length: usize, ssrc: u32, word: u32) {
        let (packet, trailer) = room.split_at_mut(length);
        let (header, text) = packet.split_at_mut(RTCP_HEADER.min(length));
        match &self.rtcp {
            Transform::Counter { aes, salt, auth, .. } => {
                aes.counter(counter_iv(salt, ssrc, u64::from(word & !super::ENCRYPTED)), text);
                let (at, tag) = trailer.split_at_mut(WORD);
                at.copy_from_slice(&word.to_be_bytes());
                tag.copy_from_slice(&mac(auth, &[header, text, at])[..tag.len()]);
            }
            gcm => {
                let (tag, at) = trailer.split_at_mut(GCM_TAG);
                at.copy_from_slice(&word.to_be_bytes());
                tag.copy_from_slice(&gcm.seal(rtcp_nonce(ssrc, word), &rtcp_aad(header, word), text));
            }
        }
    }

    /// The length without index and tag.
    pub(super) fn open_rtcp(&self, bytes: &mut [u8], ssrc: u32, word: u32) -> Option<usize> {
        let length = bytes.len().checked_sub(self.rtcp_trailer()).filter(|length| *length >= RTCP_HEADER)?;
        let encrypted = word & super::ENCRYPTED != 0;
        let (packet, trailer) = bytes.split_at_mut(length);
        let (header, text) = packet.split_at_mut(RTCP_HEADER);
        match &self.rtcp {
            Transform::Counter { aes, salt, auth, .. } => {
                let (at, tag) = trailer.split_at(WORD);
                if !equal(&mac(auth, &[header, text, at])[..tag.len()], tag) {
                    return None;
                }
                if encrypted {
                    aes.counter(counter_iv(salt, ssrc, u64::from(word & !super::ENCRYPTED)), text);
                }
            }
            // Only authenticated, all of it is additional data: nobody sends it, and it is not taken.
            _ if !encrypted => return None,
            gcm => gcm.open(rtcp_nonce(ssrc, word), &rtcp_aad(header, word), text, trailer.get(..GCM_TAG)?)?,
        }
        Some(length)
    }
}

impl Transform {
    fn new(suite: &SrtpSuite, key: &[u8], salt: &[u8], labels: u8, tag: usize) -> Option<Transform> {
        let prf = Aes::new(key)?;
        let derive = |label: u8, out: &mut [u8]| {
            let mut iv = [0; 16];
            iv.iter_mut().zip(salt).for_each(|(octet, salt)| *octet = *salt);
            iv[7] ^= labels + label;
            out.fill(0);
            prf.counter(iv, out);
        };
        let mut session = [0; 32];
        let session = session.get_mut(..key.len())?;
        derive(LABEL_KEY, session);
        let mut long = [0; 14];
        derive(LABEL_SALT, &mut long);
        let mut short = [0; 12];
        derive(LABEL_SALT, &mut short);
        Some(match suite {
            SrtpSuite::AeadAes128Gcm => {
                Transform::Gcm128 { gcm: Aes128Gcm::new_from_slice(session).ok()?, salt: short }
            }
            SrtpSuite::AeadAes256Gcm => {
                Transform::Gcm256 { gcm: Aes256Gcm::new_from_slice(session).ok()?, salt: short }
            }
            _ => {
                let mut auth = [0; 20];
                derive(LABEL_AUTH, &mut auth);
                let auth = <Hmac<Sha1> as Mac>::new_from_slice(&auth).ok()?;
                Transform::Counter { aes: Aes::new(session)?, salt: long, auth, tag }
            }
        })
    }

    fn tag(&self) -> usize {
        match self {
            Transform::Counter { tag, .. } => *tag,
            Transform::Gcm128 { .. } | Transform::Gcm256 { .. } => GCM_TAG,
        }
    }

    /// Encrypts, and gives the tag. It fails for no packet that has room in a datagram.
    fn seal(&self, nonce: [u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; GCM_TAG] {
        let tag = match self {
            Transform::Counter { .. } => None,
            Transform::Gcm128 { gcm, salt } => {
                gcm.encrypt_in_place_detached(&Nonce::from(mixed(nonce, salt)), aad, text).ok()
            }
            Transform::Gcm256 { gcm, salt } => {
                gcm.encrypt_in_place_detached(&Nonce::from(mixed(nonce, salt)), aad, text).ok()
            }
        };
        tag.map_or([0; GCM_TAG], Into::into)
    }

    fn open(&self, nonce: [u8; 12], aad: &[u8], text: &mut [u8], tag: &[u8]) -> Option<()> {
        let tag: [u8; GCM_TAG] = tag.try_into().ok()?;
        let tag = Tag::from(tag);
        match self {
            Transform::Counter { .. } => None,
            Transform::Gcm128 { gcm, salt } => {
                gcm.decrypt_in_place_detached(&Nonce::from(mixed(nonce, salt)), aad, text, &tag).ok()
            }
            Transform::Gcm256 { gcm, salt } => {
                gcm.decrypt_in_place_detached(&Nonce::from(mixed(nonce, salt)), aad, text, &tag).ok()
            }
        }
    }
}

fn rtp_tag(suite: &SrtpSuite) -> usize {
    if *suite == SrtpSuite::AesCm128HmacSha1_32 { 4 } else { 10 }
}

fn counter_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    iv[4..8].iter_mut().zip(ssrc.to_be_bytes()).for_each(|(octet, other)| *octet ^= other);
    iv[8..14].iter_mut().zip(&index.to_be_bytes()[2..]).for_each(|(octet, other)| *octet ^= other);
    iv
}

/// RFC 7714 section 8.1.
fn rtp_nonce(ssrc: u32, index: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    nonce
}

/// RFC 7714 section 9.1.
fn rtcp_nonce(ssrc: u32, word: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[8..].copy_from_slice(&(word & !super::ENCRYPTED).to_be_bytes());
    nonce
}

fn rtcp_aad(header: &[u8], word: u32) -> [u8; RTCP_HEADER + WORD] {
    let mut aad = [0; RTCP_HEADER + WORD];
    aad.iter_mut().zip(header.iter().chain(&word.to_be_bytes())).for_each(|(octet, other)| *octet = *other);
    aad
}

fn mixed(mut nonce: [u8; 12], salt: &[u8; 12]) -> [u8; 12] {
    nonce.iter_mut().zip(salt).for_each(|(octet, salt)| *octet ^= salt);
    nonce
}

fn rtp_mac(auth: &Hmac<Sha1>, packet: &[u8], index: u64) -> [u8; 20] {
    mac(auth, &[packet, &((index >> 16) as u32).to_be_bytes()])
}

fn mac(auth: &Hmac<Sha1>, parts: &[&[u8]]) -> [u8; 20] {
    // The keyed state is kept and copied: keying costs more than a packet.
    let mut mac = auth.clone();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// In a time that does not tell where they differ.
fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (one, other)| all | (one ^ other)) == 0
}
