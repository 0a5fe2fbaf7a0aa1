#include "common/snapshot/snapshot_places.h"

#include <algorithm>
#include <cstddef>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace ctlstore::snapshot {

std::vector<std::unique_ptr<Place>> OpenPlaces(absl::Span<const Location> locations,
                                               const StoreOpener& open, FetchWatch* watch) {
  std::vector<std::unique_ptr<Place>> places;
  for (const Location& location : locations) {
    auto place = std::make_unique<Place>();
    place->location = location;
    place->url = location.ToString();
    absl::StatusOr<std::unique_ptr<object_store::ObjectStore>> store = open(location.store);
    if (store.ok()) {
      place->store = *std::move(store);
      watch->Add(place->store.get());
      if (location.form == Location::Form::kFolder) {
        place->folder = std::make_unique<Folder>(place->store.get());
      }
    } else {
      place->status = store.status();
    }
    places.push_back(std::move(place));
  }
  return places;
}

void ListPlaces(absl::Span<const std::unique_ptr<Place>> places, absl::Duration patience) {
  absl::Mutex mutex;
  std::vector<Place*> asked;
  bool any_ids = false;
  std::vector<std::thread> threads;
  {
    absl::MutexLock lock(&mutex);
    for (const std::unique_ptr<Place>& place : places) {
      if (place->folder != nullptr) asked.push_back(place.get());
    }
    for (Place* place : asked) {
      threads.emplace_back([place, &mutex, &asked, &any_ids] {
        absl::StatusOr<std::vector<std::string>> ids = place->folder->List();
        absl::MutexLock lock(&mutex);
        asked.erase(std::remove(asked.begin(), asked.end(), place), asked.end());
        if (!ids.ok()) {
          // Not what the store was told when it was given up.
          if (place->status.ok()) place->status = ids.status();
        } else if (place->status.ok()) {
          place->ids = *std::move(ids);
          if (!place->ids.empty()) any_ids = true;
        }
      });
    }
    const auto answered = [&] { return asked.empty(); };
    const auto any_answer = [&] { return any_ids || asked.empty(); };
    mutex.Await(absl::Condition(&any_answer));
    if (!mutex.AwaitWithTimeout(absl::Condition(&answered), patience)) {
      for (Place* place : asked) {
        place->status = absl::UnavailableError(
            absl::StrCat("it has not answered within ", absl::FormatDuration(patience)));
        place->store->Cancel();
      }
    }
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace ctlstore::snapshot
