"""The official client against a running gateway, unmodified.

The gateway is named by OPENAI_BASE_URL and OPENAI_API_KEY; a collection `notes` is indexed.
Prints one line for each thing that worked, and the answers with their citations.
"""

import sys

import openai

HAS_MODEL = "--embeddings" in sys.argv
QUESTION = [{"role": "user", "content": "How long is the Aletsch glacier?"}]
RETRIEVAL = {"retrieval": {"collections": ["notes"]}}

client = openai.OpenAI(max_retries=0)


def fails(error, call):
    """Checks that `call` raises exactly this class of errors, with a message."""
    try:
        call()
    except error as raised:
        assert type(raised) is error, raised
        assert raised.body["message"], raised
        print(f"raised: {error.__name__}")
    else:
        sys.exit(f"{error.__name__} was expected")


def cite(annotations):
    for annotation in annotations:
        citation = annotation["file_citation"]
        print(f"cited: {citation['document_id']} {citation['start']}-{citation['end']}")


models = {model.id for model in client.models.list()}
print("models:", *sorted(models))
assert client.models.retrieve("bkg-extract").object == "model"

whole = client.chat.completions.create(model="bkg-extract", messages=QUESTION, extra_body=RETRIEVAL)
message = whole.choices[0].message
print("whole:", message.content.replace("\n", " "))
cite(message.model_dump()["annotations"])
assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens

text, annotations, usage = "", [], None
for chunk in client.chat.completions.create(
    model="bkg-extract",
    messages=QUESTION,
    stream=True,
    stream_options={"include_usage": True},
    extra_body=RETRIEVAL,
):
    usage = chunk.usage or usage
    for choice in chunk.choices:
        text += choice.delta.content or ""
        annotations += choice.delta.model_dump().get("annotations") or []
assert text == message.content, text
assert usage.total_tokens == whole.usage.total_tokens, usage
print("streamed:", text.replace("\n", " "))
cite(annotations)

legacy = client.completions.create(model="bkg-extract", prompt=QUESTION[0]["content"])
assert "twenty kilometres" in legacy.choices[0].text, legacy

if HAS_MODEL:
    # The package asks for base64 unless told otherwise, and decodes it.
    packed = client.embeddings.create(model="all-MiniLM-L6-v2", input=["one", "two"])
    plain = client.embeddings.create(
        model="all-MiniLM-L6-v2", input=["one", "two"], encoding_format="float"
    )
    for a, b in zip(packed.data, plain.data, strict=True):
        assert len(a.embedding) == 384
        assert all(abs(x - y) < 1e-6 for x, y in zip(a.embedding, b.embedding, strict=True))
    print("embedded:", packed.usage.prompt_tokens, "tokens")

chat = client.chat.completions
stranger = client.with_options(api_key="bkg_nobody")
fails(openai.AuthenticationError, stranger.models.list)
fails(openai.NotFoundError, lambda: chat.create(model="gpt-7", messages=QUESTION))
fails(openai.NotFoundError, lambda: client.models.retrieve("gpt-7"))
fails(openai.BadRequestError, lambda: chat.create(model="bkg-extract", messages=[]))
fails(openai.BadRequestError, lambda: client.embeddings.create(model="all-MiniLM-L6-v2", input=[]))
