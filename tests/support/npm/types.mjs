// Grafana's own types over dashboards, checked by the TypeScript compiler.
// node types.mjs MODULES < {"name": dashboard, …}   prints ["name:line message", …]
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(`${process.argv[2]}/package.json`);
const ts = require('typescript');

// JSON has texts where the schema has enums: each enum becomes the union of its values.
const schema = readFileSync(require.resolve('@grafana/schema').replace(/index\.js$/, 'index.d.ts'), 'utf8')
  .replace(/declare enum (\w+) \{([^}]*)\}/g, (_, name, members) => {
    const values = [...members.matchAll(/= ("[^"]*"|-?\d+)/g)].map((match) => match[1]);
    return `declare type ${name} = ${values.join(' | ')};`;
  });

const files = new Map([
  ['/schema.d.ts', schema],
  ['/model.ts', readFileSync(new URL('model.ts', import.meta.url), 'utf8')],
]);
for (const [name, dashboard] of Object.entries(JSON.parse(readFileSync(0, 'utf8')))) {
  const text = JSON.stringify(dashboard, null, 1);
  files.set(`/${name}.ts`, `import { Board } from './model';\nexport default ${text} satisfies Board;\n`);
}

const options = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ES2022,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
};
const host = ts.createCompilerHost(options);
const { fileExists, readFile, getSourceFile } = host;
host.fileExists = (path) => files.has(path) || fileExists(path);
host.readFile = (path) => files.get(path) ?? readFile(path);
host.getSourceFile = (path, version, ...rest) =>
  files.has(path)
    ? ts.createSourceFile(path, files.get(path), version)
    : getSourceFile(path, version, ...rest);
const program = ts.createProgram([...files.keys()], options, host);
const problems = ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
  const text = ts.flattenDiagnosticMessageText(messageText, '\n');
  if (!file) return text;
  const line = file.getLineAndCharacterOfPosition(start).line + 1;
  return `${file.fileName.slice(1)}:${line} ${text}`;
});
process.stdout.write(JSON.stringify(problems));
