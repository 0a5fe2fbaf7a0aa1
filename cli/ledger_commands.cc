#include "cli/ledger_commands.h"

#include <cstdint>
#include <iostream>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cli/command_result.h"
#include "cli/executive_client.h"
#include "cli/json_output.h"
#include "cli/shared_flags.h"
#include "cli/text_table.h"
#include "ctlstore/v1/executive.pb.h"

namespace ctlstore::cli {
namespace {

using Arguments = std::vector<std::string>;

std::string OrNone(int64_t sequence) { return sequence == 0 ? "none" : absl::StrCat(sequence); }

std::string Summary(const v1::PruneLedgerResponse& response, bool dry_run) {
  if (response.pruned_through_sequence() == 0) {
    return dry_run ? "nothing would go" : "nothing was removed";
  }
  const int64_t entries = response.pruned_entries();
  return absl::StrCat(entries, entries == 1 ? " entry" : " entries", ", from ",
                      response.first_sequence(), " to ", response.pruned_through_sequence(),
                      dry_run        ? ", would go"
                      : entries == 1 ? ", was removed"
                                     : ", were removed");
}

void PrintText(const v1::PruneLedgerResponse& response, bool dry_run) {
  std::cout << Summary(response, dry_run) << "\n";
  TextTable bounds({"THE LEDGER", ""}, &std::cout);
  bounds.AddRow({"begins with", OrNone(response.first_sequence())});
  bounds.AddRow({"ends with", OrNone(response.last_sequence())});
  bounds.AddRow({"is old enough up to", OrNone(response.old_through_sequence())});
  bounds.AddRow({"is in snapshots everywhere up to", OrNone(response.covered_through_sequence())});
  bounds.Finish();
  TextTable places({"PLACE", "COVERED UP TO", "BY SNAPSHOT"}, &std::cout);
  for (const v1::PruneLedgerResponse::Place& place : response.places()) {
    places.AddRow({place.url(), OrNone(place.sequence()),
                   place.error().empty() ? place.snapshot_id() : place.error()});
  }
  places.Finish();
}

void PrintJson(const v1::PruneLedgerResponse& response, bool dry_run) {
  Json places = Json::array();
  for (const v1::PruneLedgerResponse::Place& place : response.places()) {
    places.push_back(Json::object({{"url", place.url()},
                                   {"snapshot_id", place.snapshot_id()},
                                   {"sequence", place.sequence()},
                                   {"error", place.error()}}));
  }
  std::cout << Compact(
                   Json::object({{"dry_run", dry_run},
                                 {"first_sequence", response.first_sequence()},
                                 {"last_sequence", response.last_sequence()},
                                 {"old_through_sequence", response.old_through_sequence()},
                                 {"covered_through_sequence", response.covered_through_sequence()},
                                 {"pruned_through_sequence", response.pruned_through_sequence()},
                                 {"pruned_entries", response.pruned_entries()},
                                 {"places", places}}))
            << "\n";
}

absl::Status Prune(const Arguments&) {
  const bool dry_run = absl::GetFlag(FLAGS_dry_run);
  const auto response = ExecutiveClient(ExecutiveOptionsFromFlags()).PruneLedger(dry_run);
  if (!response.ok()) return response.status();
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(*response, dry_run);
  } else {
    PrintText(*response, dry_run);
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<Command> LedgerCommands() {
  Command command;
  command.name = "ledger prune";
  command.arguments = "[--dry_run]";
  command.summary = "Removes old ledger entries that are in snapshots";
  command.description =
      "  ctlstore ledger prune --dry_run\n\n"
      "Removes what is older than the executive's --prune_older_than_hours, as far as a\n"
      "verified snapshot in each of its --snapshot_urls goes, and tells which one that\n"
      "is. The executive has to run with --prune_ledger, and then does the same by\n"
      "itself now and then; a dry run needs no such permission.\n\n"
      "Snapshots that were not verified lately are read as a whole, which can take long.";
  command.flags = Joined(ExecutiveFlags(), {"dry_run"});
  command.flag_defaults = {{"call_timeout_ms", "3600000"}};
  command.run = Returning(Prune);
  return {command};
}

}  // namespace ctlstore::cli
