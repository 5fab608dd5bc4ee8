//! A new file, written from its first byte to its last: nothing is read back, and nothing is written twice.
//!
//! How many pages there are must be known at the beginning, because the meta pages say it and lead to the last page, where the
//! bucket of buckets stands; an upper bound will do, pages in between may stay empty. The rows of a bucket come in order. They fill
//! leaves of about sixteen pages each, so that little room is lost at their ends and the bound is close. The pages above the leaves
//! follow behind them. The file has no free list: whoever opens it finds the free pages by walking the trees, as with etcd's own.
//!
//! Must never hold more of a bucket than one leaf, and one key for each.

use crate::page::{BUCKET, ELEMENT, HEAD, Head, Kind, MAX_KEY, MAX_VALUE, Meta, NO_FREE_LIST, PAGE};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// A leaf is closed by the row that brings it to this size.
const LEAF: usize = 64 << 10;
/// Elements of a branch page at most.
const FANOUT: usize = 1024;

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// What takes the bytes does not.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A row that no such file can hold, or that comes at the wrong place.
    #[error("a row does not fit into the file: {0}")]
    Row(&'static str),
    /// There are more pages than were announced.
    #[error("the rows need more than the {0} pages that were announced")]
    TooLong(u64),
}

/// Pages on their way out, in order. With [`io::sink`] it counts them.
#[derive(Debug)]
pub struct Pages<W> {
    out: W,
    next: u64,
}

impl<W: Write> Pages<W> {
    /// From this page number on.
    pub fn new(out: W, next: u64) -> Self {
        Self { out, next }
    }

    /// Number of the next page: as many were written, and those before the first.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Writes a run of pages with these elements: for each its head, and the bytes of all of them.
    fn run(&mut self, kind: Kind, elements: &[Element], data: &[u8]) -> Result<u64, WriteError> {
        let length = HEAD + elements.len() * ELEMENT + data.len();
        let pages = length.div_ceil(PAGE);
        let id = self.next;
        let count = u16::try_from(elements.len()).map_err(|_| WriteError::Row("a page of too many rows"))?;
        let overflow = u32::try_from(pages - 1).map_err(|_| WriteError::Row("a page that is too long"))?;
        let mut heads = Vec::with_capacity(HEAD + elements.len() * ELEMENT);
        heads.extend_from_slice(&Head { id, kind, count, overflow }.encode());
        let mut at = 0;
        for (n, element) in elements.iter().enumerate() {
            // from the beginning of this element to that of its data
            let position = ((elements.len() - n) * ELEMENT + at) as u32;
            heads.extend_from_slice(&element.head(position));
            at += element.bytes();
        }
        self.out.write_all(&heads)?;
        self.out.write_all(data)?;
        self.zeros(pages * PAGE - length)?;
        self.next += pages as u64;
        Ok(id)
    }

    fn zeros(&mut self, mut count: usize) -> io::Result<()> {
        const ZEROS: [u8; PAGE] = [0; PAGE];
        while count > 0 {
            let now = count.min(PAGE);
            self.out.write_all(&ZEROS[..now])?;
            count -= now;
        }
        Ok(())
    }
}

/// Head of an element in the making.
#[derive(Clone, Copy)]
enum Element {
    Row { key: u32, value: u32, is_bucket: bool },
    Child { key: u32, page: u64 },
}

impl Element {
    fn head(self, position: u32) -> [u8; ELEMENT] {
        let mut out = [0; ELEMENT];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        match self {
            Self::Row { key, value, is_bucket } => {
                put(0, &u32::from(is_bucket).to_le_bytes());
                put(4, &position.to_le_bytes());
                put(8, &key.to_le_bytes());
                put(12, &value.to_le_bytes());
            }
            Self::Child { key, page } => {
                put(0, &position.to_le_bytes());
                put(4, &key.to_le_bytes());
                put(8, &page.to_le_bytes());
            }
        }
        out
    }

    /// Bytes of its data.
    fn bytes(self) -> usize {
        match self {
            Self::Row { key, value, .. } => key as usize + value as usize,
            Self::Child { key, .. } => key as usize,
        }
    }
}

/// One bucket, while its rows come in.
pub struct BucketWriter<'p, W> {
    pages: &'p mut Pages<W>,
    elements: Vec<Element>,
    data: Vec<u8>,
    last: Vec<u8>,
    first: Vec<u8>,
    /// First keys and numbers of the leaves so far.
    leaves: Vec<(Vec<u8>, u64)>,
}

impl<'p, W: Write> BucketWriter<'p, W> {
    /// The bucket's pages follow those that are written.
    pub fn new(pages: &'p mut Pages<W>) -> Self {
        let (elements, data, leaves) = (Vec::new(), Vec::with_capacity(LEAF), Vec::new());
        Self { pages, elements, data, last: Vec::new(), first: Vec::new(), leaves }
    }

    /// Adds a row; keys ascend.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), WriteError> {
        self.add(key, value, false)
    }

    fn add(&mut self, key: &[u8], value: &[u8], is_bucket: bool) -> Result<(), WriteError> {
        if key.is_empty() || key.len() > MAX_KEY || value.len() > MAX_VALUE {
            return Err(WriteError::Row("an empty key, or one of more than 32 KiB, or a value of more than 256 MiB"));
        }
        if key <= &self.last[..] {
            return Err(WriteError::Row("keys that do not ascend"));
        }
        if self.elements.is_empty() {
            self.first = key.to_vec();
        }
        self.last.clear();
        self.last.extend_from_slice(key);
        self.elements.push(Element::Row { key: key.len() as u32, value: value.len() as u32, is_bucket });
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value);
        if self.elements.len() * ELEMENT + self.data.len() >= LEAF { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<(), WriteError> {
        let page = self.pages.run(Kind::Leaf, &self.elements, &self.data)?;
        self.leaves.push((std::mem::take(&mut self.first), page));
        self.elements.clear();
        self.data.clear();
        Ok(())
    }

    /// Writes what is left and the pages above. Returns the page where the tree begins, `None` for a bucket without rows.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(mut self) -> Result<Option<u64>, WriteError> {
        if !self.elements.is_empty() {
            self.close()?;
        }
        let mut level = self.leaves;
        while level.len() > 1 {
            let branches = level.len().div_ceil(FANOUT);
            let mut above = Vec::with_capacity(branches);
            for children in level.chunks(level.len().div_ceil(branches)) {
                let elements: Vec<Element> =
                    children.iter().map(|(key, page)| Element::Child { key: key.len() as u32, page: *page }).collect();
                let data: Vec<u8> = children.iter().flat_map(|(key, _)| key).copied().collect();
                let page = self.pages.run(Kind::Branch, &elements, &data)?;
                above.push((children[0].0.clone(), page));
            }
            level = above;
        }
        Ok(level.pop().map(|(_, page)| page))
    }
}

impl<W> std::fmt::Debug for BucketWriter<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BucketWriter({} leaves)", self.leaves.len())
    }
}

/// Pages that a bucket takes at most, whose keys and values are `bytes` long together and whose keys have at most `key` bytes.
pub fn leaf_pages_at_most(rows: u64, bytes: u64, key: u64) -> u64 {
    let contents = bytes + rows * ELEMENT as u64;
    let leaves = contents / LEAF as u64 + 1;
    // each leaf ends somewhere in its last page
    let mut pages = (contents + leaves * HEAD as u64) / PAGE as u64 + leaves;
    let mut level = leaves;
    while level > 1 {
        let branches = level.div_ceil(FANOUT as u64);
        let each = level.div_ceil(branches);
        pages += branches * (HEAD as u64 + each * (ELEMENT as u64 + key)).div_ceil(PAGE as u64);
        level = branches;
    }
    pages
}

/// A file of buckets on its way out.
#[derive(Debug)]
pub struct FileWriter<W> {
    pages: Pages<W>,
    total: u64,
    buckets: BTreeMap<Vec<u8>, Option<u64>>,
}

impl<W: Write> FileWriter<W> {
    /// Pages beside those of the buckets: two meta pages, and the bucket of buckets.
    pub const OWN_PAGES: u64 = 3;

    /// Begins a file of `total` pages.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn begin(out: W, total: u64) -> Result<Self, WriteError> {
        if total < Self::OWN_PAGES {
            return Err(WriteError::TooLong(total));
        }
        let mut pages = Pages::new(out, 0);
        for transaction in 0..2 {
            let head = Head { id: transaction, kind: Kind::Meta, count: 0, overflow: 0 };
            let root = total - 1;
            let meta = Meta { page_size: PAGE as u32, root, free_list: NO_FREE_LIST, pages: total, transaction };
            let mut page = [0; PAGE];
            page[..HEAD].copy_from_slice(&head.encode());
            page[HEAD..][..crate::page::META].copy_from_slice(&meta.encode());
            pages.out.write_all(&page)?;
            pages.next += 1;
        }
        Ok(Self { pages, total, buckets: BTreeMap::new() })
    }

    /// Writes a bucket; `fill` puts its rows.
    ///
    /// # Errors
    /// [`WriteError`], or what `fill` says.
    pub fn bucket<E: From<WriteError>>(
        &mut self,
        name: &[u8],
        fill: impl FnOnce(&mut BucketWriter<'_, W>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut writer = BucketWriter::new(&mut self.pages);
        fill(&mut writer)?;
        let root = writer.finish()?;
        self.buckets.insert(name.to_vec(), root);
        Ok(())
    }

    /// Writes empty pages up to the announced end, and the bucket of buckets in the last one. Returns what took the bytes.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(mut self) -> Result<W, WriteError> {
        let free = (self.total - 1).checked_sub(self.pages.next).ok_or(WriteError::TooLong(self.total))?;
        for _ in 0..free {
            self.pages.zeros(PAGE)?;
        }
        self.pages.next += free;
        let mut root = BucketWriter::new(&mut self.pages);
        for (name, page) in &self.buckets {
            let mut value = vec![0; BUCKET];
            match page {
                Some(page) => value[..8].copy_from_slice(&page.to_le_bytes()),
                // a bucket without rows stands in its value
                None => value.extend_from_slice(&Head { id: 0, kind: Kind::Leaf, count: 0, overflow: 0 }.encode()),
            }
            root.add(name, &value, true)?;
        }
        if HEAD + root.elements.len() * ELEMENT + root.data.len() > PAGE {
            return Err(WriteError::Row("more names of buckets than one page holds"));
        }
        // written even when there is no bucket: the meta pages lead there
        root.close()?;
        drop(root);
        self.pages.out.flush()?;
        Ok(self.pages.out)
    }
}
