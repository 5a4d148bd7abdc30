#include "eventhub/store/journal_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eventhub/base/err.h"
#include "eventhub/store/journal_file.h"

static int refuse(struct buf *why, int err, const char *directory, const char *reason) {
  buf_printf(why, "DATA_DIR=%s %s", directory, reason);
  return err;
}

static int refuse_errno(struct buf *why, const char *directory, const char *what) {
  buf_printf(why, "DATA_DIR=%s %s: %s", directory, what, strerror(errno));
  return ERR_SYSTEM;
}

/* What may lie beside our file: the directory itself, what a file system keeps at its top, and what
 * was moved aside. */
static bool is_welcome(const char *name) {
  static const char ours[] = "eventhub.";
  return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0 ||
         strncmp(name, ours, sizeof ours - 1) == 0;
}

/* A directory with files and none of ours is somebody else's. */
static int check_entries(DIR *entries, const char *directory, struct buf *why) {
  char stranger[NAME_MAX + 1] = "";
  const struct dirent *entry;
  while ((entry = readdir(entries)) != NULL) {
    if (strcmp(entry->d_name, JOURNAL_FILE_NAME) == 0) return 0;
    if (!is_welcome(entry->d_name)) memccpy(stranger, entry->d_name, 0, sizeof stranger);
  }
  if (stranger[0] == '\0') return 0;
  buf_printf(why,
             "DATA_DIR=%s holds other files (%s) and no " JOURNAL_FILE_NAME
             ": name an empty directory or one that eventhub has made",
             directory, stranger);
  return ERR_EXISTS;
}

static int check_directory(const char *directory, struct buf *why) {
  DIR *entries = opendir(directory);
  if (entries == NULL) return refuse_errno(why, directory, "cannot be read");
  int err = check_entries(entries, directory, why);
  closedir(entries);
  return err;
}

static int make_directory(struct journal_place *place, const char *directory, struct buf *why) {
  if (mkdir(directory, 0700) == 0) {
    place->made_directory = true;
    return 0;
  }
  return errno == EEXIST ? 0 : refuse_errno(why, directory, "cannot be made");
}

static int open_file(struct journal_place *place, const char *directory, struct buf *why) {
  const char *path = place->path.data;
  place->fd = open(path, O_RDWR | O_CLOEXEC);
  if (place->fd < 0 && errno == ENOENT) {
    place->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    place->made_file = place->fd >= 0;
  }
  if (place->fd < 0)
    return refuse_errno(why, directory, "does not let " JOURNAL_FILE_NAME " be opened for writing");
  if (flock(place->fd, LOCK_EX | LOCK_NB) == 0) return 0;
  if (errno == EWOULDBLOCK)
    return refuse(why, ERR_EXISTS, directory,
                  "is in use by another process: each broker needs a directory of its own");
  return refuse_errno(why, directory, "cannot be locked");
}

static int look_at_file(struct journal_place *place, const char *directory, struct buf *why) {
  struct stat file;
  if (fstat(place->fd, &file) != 0) return refuse_errno(why, directory, "cannot be read");
  if (!S_ISREG(file.st_mode))
    return refuse(why, ERR_INVALID, directory, "has an " JOURNAL_FILE_NAME " that is no file");
  place->is_empty = file.st_size == 0;
  return 0;
}

int journal_place_open(struct journal_place *place, const char *directory, struct buf *why) {
  *place = (struct journal_place){.path = BUF_INIT, .fd = -1};
  buf_printf(&place->path, "%s/" JOURNAL_FILE_NAME, directory);
  int err = make_directory(place, directory, why);
  if (err == 0) err = check_directory(directory, why);
  if (err == 0) err = open_file(place, directory, why);
  if (err == 0) err = look_at_file(place, directory, why);
  if (err < 0) journal_place_undo(place, directory);
  return err;
}

void journal_place_close(struct journal_place *place) {
  if (place->fd >= 0) close(place->fd);
  place->fd = -1;
  buf_done(&place->path);
}

void journal_place_undo(struct journal_place *place, const char *directory) {
  if (place->made_file) unlink(place->path.data);
  if (place->made_directory) rmdir(directory);
  place->made_file = place->made_directory = false;
  journal_place_close(place);
}
