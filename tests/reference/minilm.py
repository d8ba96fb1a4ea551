"""Reference vectors for the MiniLM encoder, computed by onnxruntime.

Builds the encoder's graph from `model.safetensors` with standard ONNX operators, so that nothing
but the weights and the tokenizer's vocabulary is shared with the product's encoder, and runs each
sentence alone (no padding, no batching). Needs: onnx, onnxruntime, safetensors, tokenizers, numpy.

    python minilm.py MODEL_DIRECTORY > minilm.json
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "How do I rotate an API key?",
    "x",
    " \t\n",
    "Boundary layers thicken downstream of the shock; heat transfer falls with the square root of distance.",
    "日本語のテキスト, café naïve Ünïcödé, and an emoji 🙂 too",
    "fn main() { println!(\"hello\"); } // 0x1F600 == 128512",
    "Vector search combines exact word statistics and embeddings of meaning; "
    "a gateway forwards chat completions over server-sent events. " * 20,
]


class Graph:
    """Collects nodes and constants of one ONNX graph."""

    def __init__(self, weights):
        self.weights, self.nodes, self.constants, self.count = weights, [], [], 0

    def name(self):
        self.count += 1
        return f"t{self.count}"

    def constant(self, array):
        name = self.name()
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, name, transpose=False):
        array = self.weights[name].astype(np.float32)
        return self.constant(array.T if transpose else array)

    def node(self, operator, *inputs, **attributes):
        output = self.name()
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def ints(self, *values):
        return self.constant(np.array(values, dtype=np.int64))

    def linear(self, x, part):
        product = self.node("MatMul", x, self.weight(f"{part}.weight", transpose=True))
        return self.node("Add", product, self.weight(f"{part}.bias"))

    def norm(self, x, part, epsilon):
        gamma, beta = self.weight(f"{part}.weight"), self.weight(f"{part}.bias")
        return self.node("LayerNormalization", x, gamma, beta, axis=-1, epsilon=epsilon)


def encoder(weights, config):
    """ids [tokens], positions [tokens], kinds [tokens] -> vector [hidden size]."""
    g = Graph(weights)
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    epsilon, width = config["layer_norm_eps"], hidden // heads
    table = lambda kind, index: g.node("Gather", g.weight(f"embeddings.{kind}_embeddings.weight"), index)
    x = g.node("Add", table("word", "ids"), table("position", "positions"))
    x = g.norm(g.node("Add", x, table("token_type", "kinds")), "embeddings.LayerNorm", epsilon)
    for layer in range(config["num_hidden_layers"]):
        part = f"encoder.layer.{layer}."

        def head(kind, order):
            y = g.linear(x, f"{part}attention.self.{kind}")
            return g.node("Transpose", g.node("Reshape", y, g.ints(-1, heads, width)), perm=order)

        scores = g.node("MatMul", head("query", [1, 0, 2]), head("key", [1, 2, 0]))
        scores = g.node("Div", scores, g.constant(np.float32(np.sqrt(width))))
        seen = g.node("MatMul", g.node("Softmax", scores, axis=-1), head("value", [1, 0, 2]))
        seen = g.node("Reshape", g.node("Transpose", seen, perm=[1, 0, 2]), g.ints(-1, hidden))
        seen = g.linear(seen, f"{part}attention.output.dense")
        x = g.norm(g.node("Add", seen, x), f"{part}attention.output.LayerNorm", epsilon)
        inner = g.node("Gelu", g.linear(x, f"{part}intermediate.dense"))
        inner = g.linear(inner, f"{part}output.dense")
        x = g.norm(g.node("Add", inner, x), f"{part}output.LayerNorm", epsilon)
    mean = g.node("ReduceMean", x, g.ints(0), keepdims=0)
    length = g.node("ReduceL2", mean, g.ints(0), keepdims=1)
    g.nodes.append(helper.make_node("Div", [mean, length], ["vector"]))
    index = lambda name: helper.make_tensor_value_info(name, TensorProto.INT64, ["tokens"])
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, [hidden])
    inputs = [index("ids"), index("positions"), index("kinds")]
    graph = helper.make_graph(g.nodes, "encoder", inputs, [vector], g.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def main(directory):
    config = json.loads((directory / "config.json").read_text())
    window = json.loads((directory / "sentence_bert_config.json").read_text())["max_seq_length"]
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(window)
    model = encoder(load_file(directory / "model.safetensors"), config)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    out = []
    for text in TEXTS:
        ids = np.array(tokenizer.encode(text).ids, dtype=np.int64)
        feed = {"ids": ids, "positions": np.arange(len(ids)), "kinds": np.zeros_like(ids)}
        (vector,) = session.run(["vector"], feed)
        figures = [float(f"{value:.9g}") for value in vector]
        out.append({"text": text, "tokens": len(ids), "vector": figures})
    json.dump({"engine": f"onnxruntime {onnxruntime.__version__}", "sentences": out}, sys.stdout, ensure_ascii=False)
    print()


main(pathlib.Path(sys.argv[1]))
