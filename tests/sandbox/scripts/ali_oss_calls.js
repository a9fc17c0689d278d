// Calls of ali-oss on ENDPOINT with the file that is given, signed with V4 if the second argument is v4.
const assert = require('assert')
const fs = require('fs')
const OSS = require('ali-oss')

const [, , path, version] = process.argv
const content = fs.readFileSync(path)
const client = new OSS({
  endpoint: process.env.ENDPOINT, bucket: 'bucket', region: 'oss-cn-hangzhou', authorizationV4: version === 'v4',
  accessKeyId: process.env.AWS_ACCESS_KEY_ID, accessKeySecret: process.env.AWS_SECRET_ACCESS_KEY,
})
const partSize = 1024 * 1024

async function main() {
  await client.putBucket('bucket')
  await client.put('a ü+%', path, { meta: { colour: 'blue' } })
  assert.equal((await client.head('a ü+%')).meta.colour, 'blue')
  await client.multipartUpload('parts', path, { partSize, parallel: 3 })
  let checkpoint
  const stop = async (done, record) => { checkpoint = record; if (done > 0.3) throw new Error('stopped') }
  await assert.rejects(client.multipartUpload('resumed', path, { partSize, parallel: 1, progress: stop }), /stopped/)
  const { parts } = await client.listParts('resumed', checkpoint.uploadId)
  assert.equal(parts.length, checkpoint.doneParts.length)
  await client.multipartUpload('resumed', path, { partSize, checkpoint })
  await client.putStream('stream', fs.createReadStream(path))
  await client.copy('copy', 'parts')
  await client.multipartUploadCopy('copied parts', { sourceKey: 'parts', sourceBucketName: 'bucket' }, { partSize })
  assert((await client.get('parts')).content.equals(content))
  const open = await client.initMultipartUpload('open')
  const { uploads } = await client.listUploads({ 'max-uploads': 10 })
  assert.deepEqual(uploads.map((one) => one.uploadId), [open.uploadId])
  await client.abortMultipartUpload('open', open.uploadId)
  const first = await client.list({ 'max-keys': 3 })
  const rest = await client.list({ 'max-keys': 10, marker: first.nextMarker })
  const names = [...first.objects, ...rest.objects].map((one) => one.name)
  assert.deepEqual(names, ['a ü+%', 'copied parts', 'copy', 'parts', 'resumed', 'stream'])
  assert.equal((await client.listV2({})).objects.length, 6)
  assert.deepEqual((await client.deleteMulti(['copy', 'parts'])).deleted.map((one) => one.Key), ['copy', 'parts'])
}
main()
