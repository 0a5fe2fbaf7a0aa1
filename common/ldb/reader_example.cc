#include <iostream>

#include "common/ldb/reader.h"

int main() {
  ctlstore::ldb::Reader reader;  // $CTLSTORE_PATH/ldb.db, or /var/spool/ctlstore/ldb.db

  absl::StatusOr<ctlstore::ldb::Row> flag = reader.GetRow("shop", "flags", {"new_cart"});
  if (!flag.ok()) {
    std::cerr << flag.status() << "\n";
    return 1;
  }
  const bool enabled = flag->exists() && flag->GetInteger("enabled").value_or(0) == 1;
  std::cout << "new_cart is " << (enabled ? "on" : "off") << "\n";

  ctlstore::ldb::RowIterator flags = reader.ListRows("shop", "flags", {});
  while (flags.Next()) std::cout << flags.row().GetText("name").value_or("") << "\n";
  if (!flags.status().ok()) std::cerr << flags.status() << "\n";
  return flags.status().ok() ? 0 : 1;
}
