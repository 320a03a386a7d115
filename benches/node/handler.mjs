// The same job in Node.js: read, claim, redeem, stage and check at once, promote.

import { createHash, randomUUID } from "node:crypto";
import https from "node:https";
import {
  GetSecretValueCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from "@aws-sdk/client-secrets-manager";

const { SECRET_ID: SecretId, TIKTOK_API_URL: TIKTOK } = process.env;

// Clients live as long as the sandbox.
const secrets = new SecretsManagerClient({});
const agent = new https.Agent({ keepAlive: true });

export async function handler(event, context) {
  const current = await secrets.send(new GetSecretValueCommand({ SecretId, VersionStage: "AWSCURRENT" }));
  const before = JSON.parse(current.SecretString);
  const pair = fingerprint(before);
  await claim(current.ARN, pair, context);
  const tokens = await redeem(before);
  const now = Date.now();
  let document = {
    ...before,
    access_token: tokens.access_token,
    refresh_token: tokens.refresh_token || before.refresh_token,
    access_token_expires_at: new Date(now + Number(tokens.expires_in) * 1000).toISOString(),
    refreshed_at: new Date(now).toISOString(),
    advertisers_fetched_at: new Date(now).toISOString(),
  };
  let version = derived(`${current.ARN}\nnext\n${pair}`);
  const [advertisers] = await Promise.all([check(document), stage(version, document)]);
  if (JSON.stringify(advertisers) !== JSON.stringify(document.advertisers)) {
    document = { ...document, advertisers, advertiser_ids: advertisers.map((each) => each.advertiser_id) };
    version = randomUUID();
    await stage(version, document);
  }
  await secrets.send(
    new UpdateSecretVersionStageCommand({
      SecretId,
      VersionStage: "AWSCURRENT",
      MoveToVersionId: version,
      RemoveFromVersionId: current.VersionId,
    }),
  );
  console.log(JSON.stringify({ outcome: "refreshed", advertisers: advertisers.length, requestId: context.awsRequestId }));
  return { outcome: "refreshed", version_id: version, advertisers: advertisers.length };
}

function fingerprint(document) {
  const digest = createHash("sha256");
  for (const token of [document.refresh_token, document.access_token]) {
    digest.update(`${token.length}:${token}`);
  }
  return digest.digest("hex");
}

/** A version id that everybody who writes the same thing derives. */
function derived(text) {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

/** The first to write this version may spend the refresh token. */
async function claim(arn, pair, context) {
  const body = { fingerprint: pair, nonce: randomUUID(), claimed_by: context.awsRequestId };
  await secrets.send(
    new PutSecretValueCommand({
      SecretId,
      ClientRequestToken: derived(`${arn}\nclaim\n${pair}`),
      SecretString: JSON.stringify({ claim: body }),
      VersionStages: ["TIKTOK_CLAIM"],
    }),
  );
}

function redeem({ app_id, secret, refresh_token }) {
  const body = JSON.stringify({ app_id, secret, grant_type: "refresh_token", refresh_token });
  const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };
  return tiktok("oauth2/refresh_token/", { method: "POST", headers }, body);
}

function stage(version, document) {
  return secrets.send(
    new PutSecretValueCommand({
      SecretId,
      ClientRequestToken: version,
      SecretString: JSON.stringify(document),
      VersionStages: ["AWSPENDING"],
    }),
  );
}

async function check({ app_id, secret, access_token }) {
  const query = new URLSearchParams({ app_id, secret });
  const { list } = await tiktok(`oauth2/advertiser/get/?${query}`, { headers: { "Access-Token": access_token } });
  return list.sort((a, b) => (a.advertiser_id < b.advertiser_id ? -1 : 1));
}

async function tiktok(endpoint, options, body) {
  const text = await new Promise((resolve, reject) => {
    const request = https.request(TIKTOK + endpoint, { agent, timeout: 10_000, ...options }, (response) => {
      const pieces = [];
      response.on("data", (piece) => pieces.push(piece));
      response.on("end", () => resolve(Buffer.concat(pieces).toString()));
      response.on("error", reject);
    });
    request.on("timeout", () => request.destroy(new Error("TikTok did not answer in time")));
    request.on("error", reject);
    request.end(body);
  });
  const answer = JSON.parse(text);
  if (answer.code !== 0) {
    throw new Error(`TikTok answered with code ${answer.code}`);
  }
  return answer.data;
}
