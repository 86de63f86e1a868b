// Command runc-bounded is an OCI runtime that asks runc for no capability that this machine's bounding set lacks.
//
// Docker's --privileged asks for every capability there is. In a virtual machine or container that was itself started
// without one of them, runc then fails ("operation not permitted"); with the wish list shortened, all else works.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// names are the capabilities in the order of their numbers, see capability.h of the kernel.
var names = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
	SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
	AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON
	BPF CHECKPOINT_RESTORE`)

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "runc-bounded:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if file := specification(args[1:]); file != "" {
		lacking, err := lackingCapabilities()
		if err != nil {
			return err
		}
		if err := rewrite(file, lacking); err != nil {
			return err
		}
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		return err
	}
	return syscall.Exec(runc, append([]string{"runc"}, args[1:]...), os.Environ())
}

// specification returns the file that holds the wished capabilities for this call of runc, or "".
func specification(args []string) string {
	verb, bundle, process := "", ".", ""
	for i, arg := range args {
		name, value, joined := strings.Cut(arg, "=")
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		switch name {
		case "-b", "--bundle":
			bundle = value
		case "-p", "--process":
			process = value
		case "create", "run", "exec":
			if verb == "" {
				verb = name
			}
		}
	}
	switch verb {
	case "create", "run":
		return filepath.Join(bundle, "config.json")
	case "exec":
		return process
	}
	return ""
}

// lackingCapabilities returns those that this process may never have.
func lackingCapabilities() (map[string]bool, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	found := regexp.MustCompile(`CapBnd:\s*([0-9a-f]+)`).FindSubmatch(status)
	if found == nil {
		return nil, fmt.Errorf("/proc/self/status names no bounding set")
	}
	set, err := strconv.ParseUint(string(found[1]), 16, 64)
	if err != nil {
		return nil, err
	}
	lacking := map[string]bool{}
	for number, name := range names {
		if set&(1<<number) == 0 {
			lacking["CAP_"+name] = true
		}
	}
	return lacking, nil
}

// rewrite takes the lacking capabilities out of a bundle's config.json or of a process's description.
func rewrite(file string, lacking map[string]bool) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var document map[string]any
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber() // 64-bit limits must come out as they went in
	if err := decoder.Decode(&document); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	process := document
	if inner, ok := document["process"].(map[string]any); ok {
		process = inner
	}
	sets, _ := process["capabilities"].(map[string]any)
	for name, wished := range sets {
		sets[name] = without(wished, lacking)
	}
	changed, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return os.WriteFile(file, changed, 0o600)
}

func without(wished any, lacking map[string]bool) []any {
	kept := []any{}
	list, _ := wished.([]any)
	for _, name := range list {
		if text, ok := name.(string); !ok || !lacking[text] {
			kept = append(kept, name)
		}
	}
	return kept
}
