// The least that a runtime for Node.js has to do: ask for an event, hand it on, send the answer.

import http from "node:http";
import { handler } from "./handler.mjs";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true });

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const options = { host, port, agent, method, path: `/2018-06-01/runtime/invocation/${path}` };
    const request = http.request(options, (response) => {
      const pieces = [];
      response.on("data", (piece) => pieces.push(piece));
      response.on("end", () => resolve({ headers: response.headers, text: Buffer.concat(pieces).toString() }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

for (;;) {
  const { headers, text } = await call("GET", "next");
  const awsRequestId = headers["lambda-runtime-aws-request-id"];
  try {
    const answer = await handler(JSON.parse(text), { awsRequestId });
    await call("POST", `${awsRequestId}/response`, JSON.stringify(answer));
  } catch (error) {
    await call("POST", `${awsRequestId}/error`, JSON.stringify({ errorType: error.name, errorMessage: error.message }));
  }
}
