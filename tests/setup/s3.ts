/**
 * A bucket on a real S3 server: one server per test run (described in BERTH_TEST_S3, set by tests/run.ts) or, when a file is
 * run alone, one for that file.
 */
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import type { S3Place } from "../../api/blobs/s3_settings.ts";
import { type S3Server, startCeph } from "./components/ceph.ts";

let server: Promise<S3Server> | undefined;
let bucket: Promise<string> | undefined;
let count = 0;

/** The server of this test run. */
export const testS3 = (): Promise<S3Server> => server ??= given() ?? ownServer();

/** A place of its own on that server, with nothing in it. */
export async function testPlace(): Promise<S3Place> {
  const { endpoint, accessKeyId, secretAccessKey } = await testS3();
  return {
    endpoint,
    accessKeyId,
    secretAccessKey,
    bucket: await (bucket ??= createBucket()),
    region: "us-east-1",
    prefix: `world-${count++}/`,
    forcePathStyle: true,
  };
}

/** Keys of uploads in parts that were begun and not ended. */
export async function unfinishedUploads({ bucket, prefix, ...place }: S3Place): Promise<string[]> {
  using client = disposable(new S3Client({ ...place, credentials: place }));
  const { Uploads = [] } = await client.send(
    new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix }),
  );
  return Uploads.map(({ Key }) => Key!.slice(prefix.length));
}

async function createBucket(): Promise<string> {
  const { endpoint, ...credentials } = await testS3();
  using client = disposable(
    new S3Client({ endpoint, credentials, region: "us-east-1", forcePathStyle: true }),
  );
  const name = `berth-${crypto.randomUUID()}`;
  await client.send(new CreateBucketCommand({ Bucket: name }));
  return name;
}

function given(): Promise<S3Server> | undefined {
  const text = Deno.env.get("BERTH_TEST_S3");
  return text === undefined ? undefined : Promise.resolve(JSON.parse(text));
}

async function ownServer(): Promise<S3Server> {
  const ceph = await startCeph();
  globalThis.addEventListener("unload", ceph.stop); // nobody waits for what ends later than the tests
  return ceph;
}

const disposable = (client: S3Client) => Object.assign(client, { [Symbol.dispose]: () => client.destroy() });
