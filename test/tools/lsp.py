#!/usr/bin/env python3
"""An editor's session with hadal-lsp-server: errors have places, an op of hadal is known.

lsp.py HADAL_LSP_SERVER
"""

import json
import subprocess
import sys

RIGHT = """func.func @f(%x: tensor<8x4xf32>, %source: tensor<6xi32>) -> tensor<6x4xf32> {
  %0 = moe.dispatch %x, %source : tensor<8x4xf32>, tensor<6xi32> -> tensor<6x4xf32>
  return %0 : tensor<6x4xf32>
}
"""
WRONG = RIGHT.replace("i32>", "f32>")


class Server:
    def __init__(self, program: str):
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.next_id = 0

    def send(self, method: str, params, is_request: bool):
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        if is_request:
            self.next_id += 1
            message["id"] = self.next_id
        body = json.dumps(message).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def receive(self):
        length = 0
        while line := self.process.stdout.readline().strip():
            name, value = line.decode().split(": ")
            length = int(value) if name == "Content-Length" else length
        return json.loads(self.process.stdout.read(length))

    def ask(self, method: str, params):
        self.send(method, params, is_request=True)
        while (answer := self.receive()).get("id") != self.next_id:
            pass
        return answer["result"]

    def open(self, uri: str, text: str):
        """The errors of a file that the editor opens."""
        document = {"uri": uri, "languageId": "mlir", "version": 1, "text": text}
        self.send("textDocument/didOpen", {"textDocument": document}, is_request=False)
        while (note := self.receive()).get("method") != "textDocument/publishDiagnostics":
            pass
        assert note["params"]["uri"] == uri, note
        return note["params"]["diagnostics"]


def main() -> int:
    version = subprocess.check_output([sys.argv[1], "--version"], text=True)
    assert version.startswith("hadal "), version
    server = Server(sys.argv[1])
    known = server.ask("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
    assert known["capabilities"]["hoverProvider"], known

    (error,) = server.open("file:///wrong.mlir", WRONG)
    assert "'moe.dispatch' op" in error["message"], error
    assert error["range"]["start"]["line"] == 1, error

    assert server.open("file:///right.mlir", RIGHT) == []
    place = {"textDocument": {"uri": "file:///right.mlir"}, "position": {"line": 1, "character": 9}}
    hover = server.ask("textDocument/hover", place)
    assert "moe.dispatch" in hover["contents"]["value"], hover
    # From the result's use in `return` to the line that makes it.
    place["position"] = {"line": 2, "character": 10}
    (definition,) = server.ask("textDocument/definition", place)
    assert definition["range"]["start"]["line"] == 1, definition

    server.ask("shutdown", None)
    server.send("exit", None, is_request=False)
    return server.process.wait(timeout=30)


if __name__ == "__main__":
    sys.exit(main())
