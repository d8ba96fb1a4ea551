//! The ability to embed: here, or at an upstream that has the model.

use std::sync::Arc;

use messages::{
    call::Call,
    fault::Fault,
    llmserver::{Embed, EmbedInput, Embeddings},
};

use crate::{catalogue::Catalogue, engine::upstream::Upstreams, settings::Settings};

/// Answers one call.
///
/// # Errors
/// See [`check`]; an unknown model is named together with the command that fetches it.
pub(crate) async fn embed(
    settings: Arc<Settings>,
    catalogue: Arc<Catalogue>,
    upstreams: Arc<Upstreams>,
    call: Call<Embed>,
) -> Result<Embeddings, Fault> {
    let Call { body, cx } = call;
    check(&settings, &body)?;
    let model = body
        .model
        .clone()
        .unwrap_or(settings.embedding_model.clone());
    if !catalogue.has(&model)
        && let Some(upstream) = upstreams.embedding(&model)?
    {
        return upstream.embed(&body, &cx).await;
    }
    let loaded = catalogue.get(&model).await?;
    let dimensions = loaded.encoder.dimensions();
    if body
        .dimensions
        .is_some_and(|asked| usize::try_from(asked) != Ok(dimensions))
    {
        return Err(Fault::invalid(format!(
            "{model} makes vectors of {dimensions} dimensions only"
        ))
        .with_param("dimensions"));
    }
    let embedded = loaded.worker.embed(body.inputs, cx).await?;
    Ok(Embeddings {
        model,
        model_hash: loaded.encoder.fingerprint().to_owned(),
        vectors: embedded.vectors,
        prompt_tokens: u64::try_from(embedded.tokens).unwrap_or(u64::MAX),
    })
}

/// Refuses what no model should be asked.
///
/// # Errors
/// [`Invalid`](messages::fault::FaultKind::Invalid) when there is no input, too many, or one that
/// is empty or too long, with its place in the list.
fn check(settings: &Settings, body: &Embed) -> Result<(), Fault> {
    let refuse = |text: String| Err(Fault::invalid(text).with_param("input"));
    let (count, most) = (body.inputs.len(), settings.max_inputs);
    if count == 0 {
        return refuse("there is nothing to embed: `input` is empty".to_owned());
    }
    if count > most {
        return refuse(format!(
            "{count} inputs are more than the {most} of one call"
        ));
    }
    let most = settings.max_input_bytes;
    for (place, input) in body.inputs.iter().enumerate() {
        // A token stands for a byte or more.
        let length = match input {
            EmbedInput::Text(text) => text.len(),
            EmbedInput::Tokens(ids) => ids.len(),
        };
        if length == 0 {
            return refuse(format!("input {place} is empty"));
        }
        if length > most {
            return refuse(format!(
                "input {place} has {length} bytes or tokens; the most is {most}: split it"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
