//! The persisted form of a catalog and its words: dead entries are left out, postings are gaps.

use crate::{
    analyzer::Analyzer,
    catalog::{Catalog, Slot},
    codec::{Damaged, Reader, Writer},
    index::Index,
    words::{Posting, Words},
};

/// The layout below.
const LAYOUT: u64 = 1;

/// Writes documents, chunks and words.
pub(crate) fn encode(index: &Index) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.number(LAYOUT);
    writer.number(Analyzer::VERSION);
    let slots = encode_catalog(&index.catalog, &mut writer);
    writer.number(count(index.words.len()));
    for (term, postings) in index.words.iter() {
        encode_term(term, postings, &slots, &mut writer);
    }
    writer.finish()
}

/// Answers the slot that each chunk gets.
fn encode_catalog(catalog: &Catalog, writer: &mut Writer) -> Vec<Option<Slot>> {
    let mut slots = vec![None; catalog.chunks().len()];
    let mut next = 0;
    writer.number(count(catalog.live_documents()));
    for (_, document) in catalog.documents() {
        writer.number(document.id.cast_unsigned());
        writer.text(&document.external_id);
        writer.text(&serde_json::to_string(&document.metadata).unwrap_or_default());
        writer.number(count(document.slots.len()));
        let chunks = catalog
            .chunks()
            .get(document.slots.clone())
            .unwrap_or_default();
        let targets = slots.get_mut(document.slots.clone()).unwrap_or_default();
        for (chunk, target) in chunks.iter().zip(targets) {
            writer.number(chunk.id.cast_unsigned());
            writer.number(chunk.start.into());
            writer.number(chunk.terms.into());
            *target = Some(Slot(next));
            next += 1;
        }
    }
    slots
}

fn encode_term(term: &str, postings: &[Posting], slots: &[Option<Slot>], writer: &mut Writer) {
    let live = || {
        postings.iter().filter_map(|posting| {
            let slot = slots.get(posting.slot.index()).copied().flatten()?;
            Some((slot, posting.count))
        })
    };
    writer.text(term);
    writer.number(count(live().count()));
    let mut next = 0;
    for (slot, count) in live() {
        writer.number(u64::from(slot.0 - next));
        writer.number(count.into());
        next = slot.0 + 1;
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Reads what [`encode`] wrote, without vectors and revision.
///
/// # Errors
/// When the bytes are of another version or damaged.
pub(crate) fn decode(bytes: &[u8]) -> Result<Index, Damaged> {
    let mut reader = Reader::new(bytes);
    if (reader.number()?, reader.number()?) != (LAYOUT, Analyzer::VERSION) {
        return Err(Damaged);
    }
    let mut index = Index::default();
    for _ in 0..reader.number()? {
        decode_document(&mut reader, &mut index.catalog)?;
    }
    let chunks = index.catalog.chunks().len();
    for _ in 0..reader.number()? {
        decode_term(&mut reader, chunks, &mut index.words)?;
    }
    if reader.is_empty() {
        Ok(index)
    } else {
        Err(Damaged)
    }
}

fn decode_document(reader: &mut Reader<'_>, catalog: &mut Catalog) -> Result<(), Damaged> {
    let id = reader.number()?.cast_signed();
    let external_id = reader.text()?;
    let metadata = serde_json::from_str(reader.text()?).map_err(|_| Damaged)?;
    let mut chunks = Vec::new();
    for _ in 0..reader.number()? {
        chunks.push((
            reader.number()?.cast_signed(),
            reader.narrow()?,
            reader.narrow()?,
        ));
    }
    catalog.add(id, external_id, metadata, chunks);
    Ok(())
}

fn decode_term(reader: &mut Reader<'_>, chunks: usize, words: &mut Words) -> Result<(), Damaged> {
    let term = reader.text()?;
    let mut postings = Vec::new();
    let mut next = 0_u32;
    for _ in 0..reader.number()? {
        let slot = Slot(next.checked_add(reader.narrow()?).ok_or(Damaged)?);
        if slot.index() >= chunks {
            return Err(Damaged);
        }
        postings.push(Posting {
            slot,
            count: reader.narrow()?,
        });
        next = slot.0 + 1;
    }
    if !postings.is_empty() {
        words.insert(term, postings);
    }
    Ok(())
}
