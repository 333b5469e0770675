// Flux's own checker over many texts: syntax, types, names, arguments.
// node flux.mjs MODULES < {"name": "text", …}   prints {"name": ["line:column message", …], …}
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(`${process.argv[2]}/package.json`);
const { Lsp } = require('@influxdata/flux-lsp-node');

// The checker logs to the console, where the answer goes.
console.log = console.error;
console.info = console.error;

const texts = JSON.parse(readFileSync(0, 'utf8'));
const found = {};
const server = new Lsp();
server.onMessage((message) => {
  const { method, params } = JSON.parse(message);
  if (method === 'textDocument/publishDiagnostics') {
    found[names.get(params.uri)] = params.diagnostics.map(
      ({ range, message: text }) => `${range.start.line + 1}:${range.start.character + 1} ${text}`,
    );
  }
});
server.run();

let id = 0;
const ask = (method, params) =>
  server.send(JSON.stringify({ jsonrpc: '2.0', id: ++id, method, params }));
const tell = (method, params) => server.send(JSON.stringify({ jsonrpc: '2.0', method, params }));

const names = new Map();
await ask('initialize', { capabilities: {} });
await tell('initialized', {});
for (const [index, [name, text]] of Object.entries(texts).entries()) {
  // A folder of its own each: files of one folder are one package.
  const uri = `file:///${index}/query.flux`;
  names.set(uri, name);
  await tell('textDocument/didOpen', {
    textDocument: { uri, languageId: 'flux', version: 1, text },
  });
}
// Diagnostics come by themselves, some time after.
const deadline = Date.now() + 30_000;
while (Object.keys(found).length < names.size && Date.now() < deadline) {
  await new Promise((done) => setTimeout(done, 20));
}
process.stdout.write(JSON.stringify(found));
process.exit(0);
