// A release in an AWS CDK app: `npm install aws-cdk-lib constructs`, then `cdk deploy --app "node cdk.js"`, beside the release's files.
const { App, Stack } = require("aws-cdk-lib");
const { Asset } = require("aws-cdk-lib/aws-s3-assets");
const { CfnInclude } = require("aws-cdk-lib/cloudformation-include");

const stack = new Stack(new App(), "tiktok-token-refresh");
const code = new Asset(stack, "Code", { path: "RELEASE.zip" });
new CfnInclude(stack, "Template", {
  templateFile: "template.plain.yaml",
  // Any other parameter of the template goes here, too. What is not here stays a parameter of the stack.
  parameters: { CodeS3Bucket: code.s3BucketName, CodeS3Key: code.s3ObjectKey },
});
