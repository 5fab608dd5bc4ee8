//! The bytes of pages: heads, meta pages, elements.
//!
//! Must never decide whether a page fits into its file: what is read here is only cut into its fields.

/// Bytes of a page's head.
pub const HEAD: usize = 16;
/// Bytes of an element's head, in branch and leaf pages alike.
pub const ELEMENT: usize = 16;
/// Bytes of a meta page behind its head.
pub const META: usize = 64;
/// Bytes before an inline page, in the value of a bucket.
pub const BUCKET: usize = 16;
/// Size of the pages that this crate writes: what bbolt has on most machines.
pub const PAGE: usize = 4096;
/// Smallest and largest size of pages that is read, as powers of two: 1 KiB to 16 MiB, as bbolt looks for them.
pub const PAGE_SIZES: std::ops::RangeInclusive<u32> = 10..=24;
/// Longest key that bbolt takes.
pub const MAX_KEY: usize = 32_768;
/// Longest value that is read. bbolt would take 2 GiB; nobody has such a row, and a damaged length must not fill the memory.
pub const MAX_VALUE: usize = 256 << 20;
/// What the number of the free list's page is when there is none.
pub const NO_FREE_LIST: u64 = u64::MAX;

const MAGIC: u32 = 0xed0c_daed;
const VERSION: u32 = 2;

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// First keys and numbers of the pages below.
    Branch,
    /// Keys and values.
    Leaf,
    /// One of the first two.
    Meta,
    /// Numbers of free pages.
    FreeList,
}

impl Kind {
    fn from_flags(flags: u16) -> Option<Self> {
        match flags {
            0x01 => Some(Self::Branch),
            0x02 => Some(Self::Leaf),
            0x04 => Some(Self::Meta),
            0x10 => Some(Self::FreeList),
            _ => None,
        }
    }

    fn flags(self) -> u16 {
        match self {
            Self::Branch => 0x01,
            Self::Leaf => 0x02,
            Self::Meta => 0x04,
            Self::FreeList => 0x10,
        }
    }
}

/// Head of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub id: u64,
    /// What it is.
    pub kind: Kind,
    /// Elements in it.
    pub count: u16,
    /// Pages behind it that belong to it.
    pub overflow: u32,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

impl Head {
    /// Reads a head; `None` when the page is of no known kind.
    pub fn decode(bytes: &[u8; HEAD]) -> Option<Self> {
        let kind = Kind::from_flags(u16_at(bytes, 8))?;
        Some(Self { id: u64_at(bytes, 0), kind, count: u16_at(bytes, 10), overflow: u32_at(bytes, 12) })
    }

    /// Bytes of a head.
    pub fn encode(self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        out[..8].copy_from_slice(&self.id.to_le_bytes());
        out[8..10].copy_from_slice(&self.kind.flags().to_le_bytes());
        out[10..12].copy_from_slice(&self.count.to_le_bytes());
        out[12..].copy_from_slice(&self.overflow.to_le_bytes());
        out
    }
}

/// What a meta page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Bytes of a page.
    pub page_size: u32,
    /// Page of the bucket of buckets.
    pub root: u64,
    /// Page of the free list, or [`NO_FREE_LIST`].
    pub free_list: u64,
    /// Pages in all; the next one to be taken.
    pub pages: u64,
    /// Number of the transaction that wrote it.
    pub transaction: u64,
}

impl Meta {
    /// Reads what stands behind the head of a meta page.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8; META]) -> Result<Self, &'static str> {
        if u32_at(bytes, 0) != MAGIC {
            let swapped = u32_at(bytes, 0) == MAGIC.swap_bytes();
            return Err(if swapped { "written on a big-endian machine" } else { "no magic number" });
        }
        if u32_at(bytes, 4) != VERSION {
            return Err("of another format version");
        }
        if u64_at(bytes, 56) != fnv1a(&bytes[..56]) {
            return Err("its checksum does not fit");
        }
        let meta = Self {
            page_size: u32_at(bytes, 8),
            root: u64_at(bytes, 16),
            free_list: u64_at(bytes, 32),
            pages: u64_at(bytes, 40),
            transaction: u64_at(bytes, 48),
        };
        match meta.page_size.is_power_of_two() && PAGE_SIZES.contains(&meta.page_size.ilog2()) {
            true => Ok(meta),
            false => Err("its page size is none"),
        }
    }

    /// Bytes of a meta page behind its head.
    pub fn encode(self) -> [u8; META] {
        let mut out = [0; META];
        out[..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4..8].copy_from_slice(&VERSION.to_le_bytes());
        out[8..12].copy_from_slice(&self.page_size.to_le_bytes());
        for (at, value) in [(16, self.root), (32, self.free_list), (40, self.pages), (48, self.transaction)] {
            out[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let sum = fnv1a(&out[..56]);
        out[56..].copy_from_slice(&sum.to_le_bytes());
        out
    }
}

/// FNV-1a with 64 bits: the checksum of meta pages.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Where an element's key and value stand, from the beginning of its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafElement {
    /// The value is a bucket.
    pub is_bucket: bool,
    /// Start of the key; the value follows it.
    pub at: u64,
    /// Bytes of the key.
    pub key: usize,
    /// Bytes of the value.
    pub value: usize,
}

/// A key of a branch page and the page below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchElement {
    /// Start of the key, from the beginning of its page.
    pub at: u64,
    /// Bytes of the key.
    pub key: usize,
    /// Number of the page.
    pub child: u64,
}

/// Cuts the head of element `n` of a leaf page, which stands at the beginning of `bytes`.
pub(crate) fn leaf_element(bytes: &[u8], n: usize) -> LeafElement {
    LeafElement {
        is_bucket: u32_at(bytes, 0) & 1 != 0,
        at: (HEAD + n * ELEMENT) as u64 + u64::from(u32_at(bytes, 4)),
        key: u32_at(bytes, 8) as usize,
        value: u32_at(bytes, 12) as usize,
    }
}

/// As [`leaf_element`], of a branch page.
pub(crate) fn branch_element(bytes: &[u8], n: usize) -> BranchElement {
    BranchElement {
        at: (HEAD + n * ELEMENT) as u64 + u64::from(u32_at(bytes, 0)),
        key: u32_at(bytes, 4) as usize,
        child: u64_at(bytes, 8),
    }
}
