// OWOX's connector could not be installed where this was written. Its backend can, and has the step that brought existing
// sources of TikTok Ads from flat keys to `AuthType`: what that makes of our values has to be what the function writes.
const assert = require("node:assert");
const { readFileSync } = require("node:fs");

const [migrationFile, configurationFile] = process.argv.slice(2);
const ours = JSON.parse(readFileSync(configurationFile));
const { AuthType, ...rest } = ours;
const source = { name: "TikTokAds", configuration: [{ ...AuthType.oauth2, ...rest }] };
let written;
const database = {
  query: async (_, parameters) => {
    if (!parameters) return [{ id: "1", definition: JSON.stringify({ connector: { source } }) }];
    written = JSON.parse(parameters[0]);
  },
};

(async () => {
  const [Migration] = Object.values(require(migrationFile));
  await new Migration().up(database);
  const [theirs] = written.connector.source.configuration;
  assert.deepStrictEqual(theirs.AuthType, AuthType);
  // An entry that has `AuthType` already is left as it is.
  source.configuration = [ours];
  written = undefined;
  await new Migration().up(database);
  assert.strictEqual(written, undefined);
})();
