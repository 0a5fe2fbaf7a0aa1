// The S3 server of tests: s3rver, with what it lacks of S3 for them.
//
//   node s3_server.js CONFIG     (NODE_PATH names the folder of the packages)
//
// CONFIG is JSON: directory, bucket, region, port (0 for a free one), accessKeyId, secretAccessKey,
// sessionToken, and for TLS certificate and key (paths). The server listens on 127.0.0.1, prints
// {"port": N} as a line, then takes commands from the standard input, JSON a line, and answers each
// with a line. It ends when the input does, so that it does not outlive the test.
//
//   {"fault": {...}}   Requests with the fault's `method` and with `contains` in their URL are met by
//                      it: `times` of them (1), after the first `skip` (0). What it does is one of
//                        status, code, message, headers, body   answers so, with an S3 error as body
//                        cutRequestAfter, cutResponseAfter      resets the connection after so many
//                                                               bytes of the body
//                        stallRequest, stallResponseAfter       takes, or sends, nothing more
//   {"clear": true}    No more faults.
//   {"reset": true}    No more faults, objects and uploads, and no requests so far.
//   {"requests": true} The requests since the last such command: method, url, headers.
//
// Added to s3rver: signatures (version 4) and the digests of bodies are verified, If-Match is heeded,
// uploads can be listed and aborted, parts are checked, the ETag of an object of several parts is no
// digest of its bytes, and an object is replaced as a whole.

'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const https = require('https');
const path = require('path');
const readline = require('readline');
const { Readable } = require('stream');
const { pipeline } = require('stream/promises');

const S3rver = require('s3rver');
const { DUMMY_ACCOUNT } = require('s3rver/lib/models/account');
const S3Error = require('s3rver/lib/models/error');
const S3Object = require('s3rver/lib/models/object');

const config = JSON.parse(process.argv[2]);

const sha256 = (data) => crypto.createHash('sha256').update(data).digest('hex');
const hmac = (key, data) => crypto.createHmac('sha256', key).update(data).digest();

function uriEncode(text) {
  return encodeURIComponent(text).replace(
    /[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());
}

// ---------------------------------------------------------------------------------- signatures

function verifySignature(req) {
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      req.headers.authorization || '');
  if (!match) throw new S3Error('AccessDenied', 'Access Denied');
  const [accessKeyId, date, region, service, terminator] = match[1].split('/');
  const signedHeaders = match[2].split(';');
  if (accessKeyId !== config.accessKeyId) {
    throw new S3Error('InvalidAccessKeyId',
      'The AWS Access Key Id you provided does not exist in our records.',
      { AWSAccessKeyId: accessKeyId });
  }
  if (region !== config.region || service !== 's3' || terminator !== 'aws4_request') {
    throw new S3Error('AuthorizationHeaderMalformed',
      `The authorization header is malformed; the region '${region}' is wrong; expecting ` +
      `'${config.region}'`, { Region: config.region });
  }
  if ((req.headers['x-amz-security-token'] || '') !== (config.sessionToken || '')) {
    throw new S3Error('InvalidToken', 'The provided token is malformed or otherwise invalid.');
  }
  for (const name of Object.keys(req.headers)) {
    if ((name === 'host' || name.startsWith('x-amz-')) && !signedHeaders.includes(name)) {
      throw new S3Error('AccessDenied',
        `There were headers present in the request which were not signed: ${name}`);
    }
  }
  const time = req.headers['x-amz-date'] || '';
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(time) || [];
  const skew = Date.now() - Date.UTC(year, month - 1, day, hour, minute, second);
  if (!(Math.abs(skew) < 15 * 60 * 1000) || !time.startsWith(date)) {
    throw new S3Error('RequestTimeTooSkewed',
      'The difference between the request time and the current time is too large.');
  }

  const [rawPath, rawQuery = ''] = req.url.split(/\?(.*)/s);
  const canonicalPath = rawPath.split('/').map((p) => uriEncode(decodeURIComponent(p))).join('/');
  const canonicalQuery = rawQuery.split('&').filter(Boolean)
    .map((pair) => pair.split(/=(.*)/s).slice(0, 2))
    .map(([name, value]) =>
      [uriEncode(decodeURIComponent(name)), uriEncode(decodeURIComponent(value || ''))])
    .sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] < b[1] ? -1 : 1))
    .map((pair) => pair.join('=')).join('&');
  const canonicalHeaders = [...signedHeaders].sort()
    .map((name) => `${name}:${(req.headers[name] || '').trim().replace(/ +/g, ' ')}\n`).join('');
  const canonicalRequest = [req.method, canonicalPath, canonicalQuery, canonicalHeaders,
    [...signedHeaders].sort().join(';'), req.headers['x-amz-content-sha256']].join('\n');
  const scope = `${date}/${region}/s3/aws4_request`;
  const stringToSign = ['AWS4-HMAC-SHA256', time, scope, sha256(canonicalRequest)].join('\n');
  const key = [date, region, 's3', 'aws4_request'].reduce(
    hmac, 'AWS4' + config.secretAccessKey);
  if (hmac(key, stringToSign).toString('hex') !== match[3]) {
    throw new S3Error('SignatureDoesNotMatch',
      'The request signature we calculated does not match the signature you provided. Check your ' +
      'key and signing method.', { CanonicalRequest: canonicalRequest });
  }
}

// -------------------------------------------------------------------------------------- store

// s3rver enciphers where a list goes on with DES, which OpenSSL does not have any more.
for (const name of ['createCipheriv', 'createDecipheriv']) {
  const original = crypto[name];
  crypto[name] = (algorithm, ...args) =>
    algorithm === 'des'
      ? { update: (data) => Buffer.from(data), final: () => Buffer.alloc(0) }
      : original(algorithm, ...args);
}

DUMMY_ACCOUNT.createKeyPair(config.accessKeyId, config.secretAccessKey);

const s3 = new S3rver({
  directory: config.directory,
  silent: true,
  configureBuckets: [{ name: config.bucket, configs: [] }],
});
const store = s3.store;

// What reads or changes an object's three files does so alone.
let last = Promise.resolve();
function alone(work) {
  const result = last.then(work);
  last = result.catch(() => {});
  return result;
}

async function save(file, content) {
  const md5 = crypto.createHash('md5');
  let size = 0;
  await pipeline(
    Buffer.isBuffer(content) ? Readable.from([content]) : content,
    async function* digest(source) {
      for await (const chunk of source) {
        md5.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    },
    fs.createWriteStream(file));
  return { size, md5: md5.digest('hex') };
}

store.putObject = async (object) => {
  const file = store.getResourcePath(object.bucket, object.key, 'object');
  const temporary = path.join(
    store.getBucketPath(object.bucket), `.${crypto.randomBytes(8).toString('hex')}.new`);
  const saved = await save(temporary, object.content);
  const md5 = object.etag || saved.md5;
  await alone(async () => {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.renameSync(temporary, file);
    await store.putMetadata(object.bucket, object.key, object.metadata, md5);
  });
  return { size: saved.size, md5 };
};

for (const name of ['getObject', 'deleteObject', 'listObjects']) {
  const original = store[name].bind(store);
  store[name] = (...args) => alone(() => original(...args));
}

// A range that ends at byte 0 is taken for one without an end, unless its end is an object.
const { getObject } = store;
store.getObject = (bucket, key, options) =>
  getObject(bucket, key, options && options.end === 0
    ? { ...options, end: Object(0) }
    : options);

const uploadsFolder = (bucket) => store.getResourcePath(bucket, undefined, 'uploads');
const uploadFolder = (bucket, id) => path.join(uploadsFolder(bucket), path.basename(id));

store.putPart = async (bucket, uploadId, partNumber, content) => {
  const file = path.join(uploadFolder(bucket, uploadId), String(partNumber));
  const saved = await save(`${file}.new`, content);
  fs.renameSync(`${file}.new`, file);
  fs.writeFileSync(`${file}.md5`, saved.md5);
  return saved;
};

store.putObjectMultipart = async (bucket, uploadId, parts) => {
  const folder = uploadFolder(bucket, uploadId);
  const key = fs.readFileSync(path.join(folder, 'key'), 'utf8');
  const metadata = JSON.parse(fs.readFileSync(path.join(folder, 'metadata'), 'utf8'));
  const digests = parts.map((part, i) => {
    const file = path.join(folder, String(part.number));
    const md5 = fs.existsSync(`${file}.md5`) ? fs.readFileSync(`${file}.md5`, 'utf8') : '';
    if (i > 0 && part.number <= parts[i - 1].number) {
      throw new S3Error('InvalidPartOrder', 'The list of parts was not in ascending order.');
    }
    if (md5 === '' || md5 !== part.etag) {
      throw new S3Error('InvalidPart',
        'One or more of the specified parts could not be found.', { PartNumber: part.number });
    }
    return Buffer.from(md5, 'hex');
  });
  const content = Readable.from((async function* read() {
    for (const part of parts) yield* fs.createReadStream(path.join(folder, String(part.number)));
  })());
  const object = new S3Object(bucket, key, content, metadata);
  object.etag =
    crypto.createHash('md5').update(Buffer.concat(digests)).digest('hex') + `-${parts.length}`;
  const result = await store.putObject(object);
  fs.rmSync(folder, { recursive: true });
  return result;
};

function listUploads(bucket, prefix) {
  const folder = uploadsFolder(bucket);
  const uploads = (fs.existsSync(folder) ? fs.readdirSync(folder) : []).map((id) => ({
    Key: fs.readFileSync(path.join(folder, id, 'key'), 'utf8'),
    UploadId: id,
    Initiated: fs.statSync(path.join(folder, id, 'key')).mtime.toISOString(),
  })).filter((upload) => upload.Key.startsWith(prefix));
  return { ListMultipartUploadsResult: { Bucket: bucket, IsTruncated: false, Upload: uploads } };
}

// ------------------------------------------------------------------------------------ requests

async function readBody(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks);
}

// Before all that s3rver itself does with a request, inside its handling of errors.
s3.middleware.splice(2, 0, async (ctx, next) => {
  verifySignature(ctx.req);
  const body = await readBody(ctx.req);
  if (sha256(body) !== ctx.headers['x-amz-content-sha256']) {
    throw new S3Error('BadDigest',
      "The provided 'x-amz-content-sha256' header does not match what was computed.");
  }
  ctx.req = Readable.from(body.length === 0 ? [] : [body]);

  const [bucket, ...rest] = decodeURIComponent(ctx.path.slice(1)).split('/');
  const key = rest.join('/');
  const { uploadId } = ctx.query;
  if (await store.getBucket(bucket)) {
    if (uploadId !== undefined && !fs.existsSync(uploadFolder(bucket, uploadId))) {
      throw new S3Error('NoSuchUpload', 'The specified multipart upload does not exist.');
    }
    if (ctx.method === 'DELETE' && uploadId !== undefined) {
      fs.rmSync(uploadFolder(bucket, uploadId), { recursive: true });
      ctx.status = 204;
      return;
    }
    if (ctx.method === 'GET' && key === '' && 'uploads' in ctx.query) {
      ctx.body = listUploads(bucket, ctx.query.prefix || '');
      return;
    }
    const wanted = ctx.headers['if-match'];
    if (wanted !== undefined && (await store.existsObject(bucket, key)) &&
        (await store.getMetadata(bucket, key)).etag !== wanted) {
      throw new S3Error('PreconditionFailed',
        'At least one of the pre-conditions you specified did not hold',
        { Condition: 'If-Match' });
    }
  }
  await next();
});

// -------------------------------------------------------------------------------------- faults

let faults = [];
let requests = [];

function takeFault(req) {
  for (const fault of faults) {
    if (fault.method !== undefined && fault.method !== req.method) continue;
    if (fault.contains !== undefined && !req.url.includes(fault.contains)) continue;
    if (fault.skip > 0) {
      fault.skip -= 1;
      continue;
    }
    if (fault.times === 0) continue;
    fault.times -= 1;
    return fault;
  }
  return undefined;
}

// Lets the first `limit` bytes of the answer's body through, then calls `then`.
function limitResponse(res, limit, then) {
  const write = res.write.bind(res);
  let left = limit;
  const take = (chunk, done) => {
    if (left < 0) return;
    const bytes = Buffer.from(chunk);
    if (bytes.length < left) {
      left -= bytes.length;
      write(bytes, done);
      return;
    }
    const part = bytes.subarray(0, left);
    left = -1;
    res.flushHeaders();
    if (part.length === 0) then();
    else write(part, then);
  };
  res.write = (chunk, encoding, done) => {
    take(chunk, typeof encoding === 'function' ? encoding : done);
    return true;
  };
  res.end = (chunk) => {
    if (chunk) take(chunk);
    else if (left >= 0) { res.flushHeaders(); then(); }
    return res;
  };
}

const handle = s3.callback();

async function serve(req, res) {
  requests.push({ method: req.method, url: req.url, headers: req.headers });
  const { socket } = req;
  const fault = takeFault(req);
  if (fault === undefined) return handle(req, res);
  if (fault.stallRequest) return undefined;
  if (fault.cutRequestAfter !== undefined) {
    let taken = 0;
    req.on('error', () => {});
    for await (const chunk of req) {
      taken += chunk.length;
      if (taken >= fault.cutRequestAfter) break;
    }
    socket.resetAndDestroy();
    return undefined;
  }
  if (fault.status !== undefined) {
    await readBody(req);
    const error = new S3Error(fault.code || 'InternalError', fault.message || 'A fault of the test.');
    const body = fault.body !== undefined ? fault.body : error.toXML();
    res.writeHead(fault.status, { 'content-type': 'application/xml', ...fault.headers });
    return res.end(req.method === 'HEAD' ? '' : body);
  }
  if (fault.cutResponseAfter !== undefined) {
    limitResponse(res, fault.cutResponseAfter, () => setTimeout(() => socket.destroy(), 20));
  } else if (fault.stallResponseAfter !== undefined) {
    limitResponse(res, fault.stallResponseAfter, () => {});
  }
  return handle(req, res);
}

function obey(command) {
  if (command.fault !== undefined) {
    faults.push({ times: 1, skip: 0, ...command.fault });
    return {};
  }
  if (command.clear) {
    faults = [];
    return {};
  }
  if (command.reset) {
    faults = [];
    requests = [];
    const folder = store.getBucketPath(config.bucket);
    for (const name of fs.readdirSync(folder)) {
      fs.rmSync(path.join(folder, name), { recursive: true });
    }
    return {};
  }
  if (command.requests) {
    const seen = requests;
    requests = [];
    return { requests: seen };
  }
  return { error: 'unknown command' };
}

async function main() {
  await s3.configureBuckets();
  const listener = (req, res) => {
    const { socket } = req;
    serve(req, res).catch(() => socket.destroy());
  };
  const server = config.certificate
    ? https.createServer(
      { cert: fs.readFileSync(config.certificate), key: fs.readFileSync(config.key) }, listener)
    : http.createServer(listener);
  server.keepAliveTimeout = 60000;
  // An answer to someone who has gone is no news.
  s3.on('error', (error) => {
    if (!(error instanceof S3Error) && !error.headerSent) console.error(error);
  });
  server.listen(config.port || 0, '127.0.0.1', () => {
    process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`);
  });
  const input = readline.createInterface({ input: process.stdin });
  input.on('line', (line) => {
    process.stdout.write(`${JSON.stringify(obey(JSON.parse(line)))}\n`);
  });
  input.on('close', () => process.exit(0));
}

main();
