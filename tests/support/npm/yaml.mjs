// YAML files as JSON, strictly read.
// node yaml.mjs MODULES FILE …   prints {"file": document, …}
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(`${process.argv[2]}/package.json`);
const { parse } = require('yaml');

const read = (file) => parse(readFileSync(file, 'utf8'), { strict: true, uniqueKeys: true });
process.stdout.write(
  JSON.stringify(Object.fromEntries(process.argv.slice(3).map((file) => [file, read(file)]))),
);
