# Makes a WSL2 distribution, "Forge", with Forge in it, for machines on Windows.
# Says what it does and does nothing that is already done. Not verified on hardware.
# With -DryRun it says what it would do, and does nothing.
#
#   powershell -ExecutionPolicy Bypass -File scripts\windows\setup.ps1 [-DryRun]

param([switch] $DryRun)

$ErrorActionPreference = "Stop"
$Name = "Forge"
$Folder = "/opt/forge"
# wsl.exe prints UTF-16 otherwise, which no comparison below would match.
$env:WSL_UTF8 = "1"

function Say([string] $Text) {
    Write-Output "setup: $Text"
}

function Invoke-Step([string] $Program, [string[]] $Arguments) {
    if ($DryRun) {
        Say "would run: $Program $($Arguments -join ' ')"
        return
    }
    & $Program @Arguments
    if ($LASTEXITCODE -ne 0) {
        throw "$Program ended with code $LASTEXITCODE"
    }
}

function Stop-Unfit([string] $Text) {
    Say $Text
    if (-not $DryRun) {
        exit 3
    }
}

function Test-Virtualisation {
    $Computer = Get-CimInstance -ClassName Win32_ComputerSystem
    $Processor = Get-CimInstance -ClassName Win32_Processor | Select-Object -First 1
    if (-not ($Computer.HypervisorPresent -or $Processor.VirtualizationFirmwareEnabled)) {
        Stop-Unfit "virtualisation is off: enable it in the firmware, and Hyper-V's platform in Windows"
    }
}

function Test-Wsl {
    if (-not (Get-Command wsl.exe -ErrorAction SilentlyContinue)) {
        Stop-Unfit "WSL is missing. Run as administrator: wsl --install --no-distribution; then restart"
        return
    }
    $Line = & wsl.exe --version 2>$null | Select-Object -First 1
    if (-not ($Line -match '(\d+\.\d+\.\d+)') -or ([version] $Matches[1] -lt [version] "2.4.4")) {
        Stop-Unfit "WSL 2.4.4 or later is needed to name a distribution. Run: wsl --update"
    }
}

function Test-Distribution {
    $Found = & wsl.exe --list --quiet 2>$null
    return @($Found | ForEach-Object { $_.Trim() }) -contains $Name
}

function Copy-Checkout {
    $Archive = Join-Path $env:TEMP "forge-checkout.tar"
    Invoke-Step "git" @("archive", "--format=tar", "--output=$Archive", "HEAD")
    $There = "/mnt/" + $Archive.Substring(0, 1).ToLower() + $Archive.Substring(2).Replace("\", "/")
    Invoke-Step "wsl.exe" @("-d", $Name, "-u", "root", "--", "mkdir", "-p", $Folder)
    Invoke-Step "wsl.exe" @("-d", $Name, "-u", "root", "--", "tar", "-x", "-C", $Folder, "-f", $There)
}

Set-Location (Join-Path $PSScriptRoot "..\..")
Test-Virtualisation
Test-Wsl
if (Test-Distribution) {
    Say "the distribution $Name is there already"
} else {
    Invoke-Step "wsl.exe" @("--install", "Debian", "--name", $Name, "--no-launch")
}
Copy-Checkout
Invoke-Step "wsl.exe" @(
    "-d", $Name, "-u", "root", "--", "sh", "-c",
    "apt-get update -q && apt-get install -q -y --no-install-recommends git make ca-certificates"
)
Invoke-Step "wsl.exe" @("-d", $Name, "-u", "root", "--", "$Folder/scripts/linux/setup.sh")
Say "done. Forge is in there: wsl -d $Name -u root -- forge chat"
Say "As a worker for a Forge in another distribution, set there:"
Say "  FORGE_SANDBOX=worker"
Say "  FORGE_WORKER='wsl.exe -d $Name -u root -- forge microvm serve'"
