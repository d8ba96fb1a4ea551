"""Starts TensorZero's HTTP gateway, the one of its PyPI package, and waits until its input ends."""

import sys

from tensorzero.tensorzero import _start_http_gateway

gateway = _start_http_gateway(
    config_file=sys.argv[1],
    clickhouse_url=None,
    postgres_url=None,
    valkey_url=None,
    async_setup=False,
)
print(f"listening on {gateway.base_url}", flush=True)
sys.stdin.read()
