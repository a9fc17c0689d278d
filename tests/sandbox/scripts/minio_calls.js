// Calls of minio-js on PORT with the file that is given.
const assert = require('assert')
const fs = require('fs')
const Minio = require('minio')

const path = process.argv[2]
const content = fs.readFileSync(path)
const client = new Minio.Client({
  endPoint: '127.0.0.1', port: Number(process.env.PORT), useSSL: false, partSize: 5 * 1024 * 1024,
  accessKey: process.env.AWS_ACCESS_KEY_ID, secretKey: process.env.AWS_SECRET_ACCESS_KEY,
})
const items = async (stream) => { const all = []; for await (const one of stream) all.push(one); return all }
const bytes = async (stream) => Buffer.concat(await items(stream))

async function main() {
  assert.equal(await client.bucketExists('bucket'), false)
  await client.makeBucket('bucket')
  await client.fPutObject('bucket', 'a ü+%', path, { 'x-amz-meta-colour': 'blue' })
  await client.putObject('bucket', 'stream', fs.createReadStream(path))
  await client.putObject('bucket', 'small', 'hello')
  assert((await bytes(await client.getObject('bucket', 'a ü+%'))).equals(content))
  assert((await bytes(await client.getPartialObject('bucket', 'stream', 1000, 2000))).equals(content.subarray(1000, 3000)))
  assert.equal((await client.statObject('bucket', 'a ü+%')).metaData.colour, 'blue')
  await client.copyObject('bucket', 'copy', '/bucket/stream')
  const sources = ['stream', 'small'].map((name) => new Minio.CopySourceOptions({ Bucket: 'bucket', Object: name }))
  await client.composeObject(new Minio.CopyDestinationOptions({ Bucket: 'bucket', Object: 'composed' }), sources)
  const names = (await items(client.listObjectsV2('bucket', '', true))).map((one) => one.name)
  assert.deepEqual(names, ['a ü+%', 'composed', 'copy', 'small', 'stream'])
  await client.initiateNewMultipartUpload('bucket', 'open', {})
  assert.deepEqual((await items(client.listIncompleteUploads('bucket', '', true))).map((one) => one.key), ['open'])
  await client.removeIncompleteUpload('bucket', 'open')
  const url = await client.presignedPutObject('bucket', 'presigned', 60)
  assert.equal((await fetch(url, { method: 'PUT', body: 'hello' })).status, 200)
  await client.removeObjects('bucket', ['copy', 'small'])
}
main()
