#include <iostream>
#include <sys/resource.h>
#include "absl/time/clock.h"
#include "common/snapshot/fetcher.h"
#include "common/snapshot/folder.h"
#include "common/snapshot/object_encoder.h"
#include "common/object_store/file_store.h"
using namespace ctlstore; using namespace ctlstore::snapshot;
int main(int argc, char** argv) {
  auto loc = ParseLocation("file:///tmp/fetchlab/site").value();
  if (argc > 1 && std::string(argv[1]) == "make") {
    EncodeOptions o; auto e = EncodeObject("/tmp/fetchlab/out.db", "/tmp/fetchlab/obj", o, nullptr).value();
    Manifest m; m.position.sequence=77; m.taken_at=absl::Now(); m.id=NewSnapshotId(77,m.taken_at); m.object=SnapshotObjectName(m.id,m.compression);
    m.object_bytes=e.object_bytes;m.object_sha256=e.object_sha256;m.file_bytes=e.file_bytes;m.chunks=e.chunks;
    object_store::FileStore s(loc.store); std::cout << Folder(&s).Publish(m,"/tmp/fetchlab/obj") << " " << m.object_bytes << "\n"; return 0;
  }
  FetchOptions o; if (argc > 1) o.parallel_ranges = atoi(argv[1]);
  absl::Time t = absl::Now(); absl::Time check;
  o.on_progress = [&](const FetchProgress& p) { if (p.stage == FetchProgress::Stage::kChecking) check = absl::Now(); };
  auto f = FetchNewest({&loc,1}, "/tmp/fetchlab/fetch", o);
  absl::Time e = absl::Now();
  rusage u; getrusage(RUSAGE_SELF, &u);
  std::cout << f.status() << " total " << (e-t) << " fetch " << (check-t) << " check+sync " << (e-check) << " rss " << u.ru_maxrss << " user " << u.ru_utime.tv_sec+u.ru_utime.tv_usec/1e6 << " sys " << u.ru_stime.tv_sec+u.ru_stime.tv_usec/1e6 << "\n";
}
